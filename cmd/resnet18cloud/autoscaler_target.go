package main

import (
	"errors"

	"github.com/resnet18cloud/resnet18cloud/autoscale"
	"github.com/resnet18cloud/resnet18cloud/autoscale/kube"
)

// targetFlags say what the autoscaler scales.
type targetFlags struct {
	Deployment string `help:"Kubernetes Deployment to scale." placeholder:"NAME" env:"RESNET18_DEPLOYMENT"`
	Namespace  string `help:"Its namespace; by default that of the kubeconfig or, in a pod, the pod's." placeholder:"NAME" env:"RESNET18_NAMESPACE"`
	Kubeconfig string `help:"File that says where the cluster is; by default what kubectl would take, and in a pod its service account." type:"path" placeholder:"FILE" env:"RESNET18_KUBECONFIG"`
	Identity   string `help:"Name under which it competes with others to be the one that acts, and signs Events; a random part is added. By default the host's." placeholder:"NAME" env:"RESNET18_IDENTITY"`
}

// open makes the scaler of the target.
func (f targetFlags) open(env *environment) (autoscale.Scaler, error) {
	if f.Deployment == "" {
		return nil, errors.New("nothing to scale: say --deployment NAME (replicas on this machine are scaled by 'up --autoscale 1:4')")
	}
	return kube.Open(kube.Config{Name: f.Deployment, Namespace: f.Namespace, Kubeconfig: f.Kubeconfig, Identity: f.Identity, Log: env.log})
}
