// Package teach makes a model of a folder of pictures.
package teach
