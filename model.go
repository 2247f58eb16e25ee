package resnet18cloud

import "context"

// ModelInfo describes the model of a result. It is part of each result, so that results can be explained later.
type ModelInfo struct {
	Name          string `json:"name"`              // of the weights, such as "resnet18-f37072fd"
	Version       string `json:"version,omitempty"` // hexadecimal SHA-256 of the file, and of what describes it apart from the file
	Precision     string `json:"precision"`         // arithmetic: "fp32", "bf16" or "int8"
	Preprocessing string `json:"preprocessing"`     // how images become inputs, in the form of the flag --preprocess
	Activation    string `json:"activation"`        // how outputs become probabilities: "softmax", "sigmoid" or "none"
	Classes       int    `json:"classes"`           // number of classes; 0 means that the model has features only
}

// Labels are the classes of a model.
type Labels struct {
	Model      string   `json:"model"`      // identity of the weights, as in [Result]
	Classes    int      `json:"classes"`    // number of classes; 0 means that the model has features only
	Labels     []string `json:"labels"`     // name of each class, by Prediction.Index; nil if the model does not have them
	Activation string   `json:"activation"` // as in [ModelInfo]
}

// A Labeler is a [Classifier] that knows its classes. The result must not be modified.
type Labeler interface {
	Labels(ctx context.Context) (Labels, error)
}
