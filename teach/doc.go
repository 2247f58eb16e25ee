// Package teach makes a model of a folder of pictures: it fits a new head on the features that a network has of them, and
// leaves the network as it is. A folder goes in, a model file and a report come out; the command model teach calls it.
//
// The way of a picture:
//
//	folder.go    one folder for each class
//	features.go  512 features of each picture, with each way to prepare it
//	choose.go    every method with every way, by cross-validation
//	lesson.go    the head, and what to expect of it
//	save.go      the model file
//	report.go    the report
//
// The mathematics is in package fit. Everything random comes from a seed, so equal folders give equal files.
package teach
