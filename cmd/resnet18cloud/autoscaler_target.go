//go:build !only_replica

package main

import (
	"errors"

	"github.com/resnet18cloud/resnet18cloud/autoscale"
	"github.com/resnet18cloud/resnet18cloud/autoscale/kube"
)

// targetFlags name the Deployment to scale.
type targetFlags struct {
	Deployment string `help:"Kubernetes Deployment to scale." placeholder:"NAME" env:"RESNET18_DEPLOYMENT"`
	Namespace  string `help:"Namespace of the Deployment. Default: that of the kubeconfig or, in a pod, of the pod." placeholder:"NAME" env:"RESNET18_NAMESPACE"`
	Kubeconfig string `help:"kubeconfig file. Default: the one that kubectl uses or, in a pod, the service account." type:"path" placeholder:"FILE" env:"RESNET18_KUBECONFIG"`
	Identity   string `help:"Name for leader election and Events; a random suffix is added. Default: the host name." placeholder:"NAME" env:"RESNET18_IDENTITY"`
}

// open returns the scaler of the target.
func (f targetFlags) open(env *environment) (autoscale.Scaler, error) {
	if f.Deployment == "" {
		return nil, badUsage(errors.New("nothing to scale: --deployment NAME is required (to scale replicas on this machine, use 'up --autoscale 1:4')"))
	}
	return kube.Open(kube.Config{Name: f.Deployment, Namespace: f.Namespace, Kubeconfig: f.Kubeconfig, Identity: f.Identity, Log: env.log})
}
