package keda

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/resnet18cloud/resnet18cloud/autoscale/keda/externalscaler"
)

var _ externalscaler.ExternalScalerServer = (*Server)(nil)

// IsActive returns whether there was work recently.
func (s *Server) IsActive(context.Context, *externalscaler.ScaledObjectRef) (*externalscaler.IsActiveResponse, error) {
	active, _ := s.state()
	return &externalscaler.IsActiveResponse{Result: active}, nil
}

// StreamIsActive sends the activity now and after each change, until the caller or the server ends.
func (s *Server) StreamIsActive(_ *externalscaler.ScaledObjectRef, stream grpc.ServerStreamingServer[externalscaler.IsActiveResponse]) error {
	for {
		active, changed := s.state()
		if err := stream.Send(&externalscaler.IsActiveResponse{Result: active}); err != nil {
			return err
		}
		select {
		case <-changed:
		case <-stream.Context().Done():
			return nil
		case <-s.closing:
			return nil
		}
	}
}

// GetMetricSpec returns the metric. With a target of 1 per replica, its value is the number of replicas.
func (s *Server) GetMetricSpec(context.Context, *externalscaler.ScaledObjectRef) (*externalscaler.GetMetricSpecResponse, error) {
	return &externalscaler.GetMetricSpecResponse{MetricSpecs: []*externalscaler.MetricSpec{
		{MetricName: Metric, TargetSize: 1, TargetSizeFloat: 1},
	}}, nil
}

// GetMetrics returns how many replicas are needed.
func (s *Server) GetMetrics(_ context.Context, request *externalscaler.GetMetricsRequest) (*externalscaler.GetMetricsResponse, error) {
	if name := request.GetMetricName(); name != Metric {
		return nil, status.Errorf(codes.NotFound, "no metric %q, only %q", name, Metric)
	}
	advice, err := s.advice(time.Now())
	if err != nil {
		return nil, err
	}
	return &externalscaler.GetMetricsResponse{MetricValues: []*externalscaler.MetricValue{
		{MetricName: Metric, MetricValue: int64(advice.Replicas), MetricValueFloat: float64(advice.Replicas)},
	}}, nil
}
