// Package report runs the study of docs/autoscaling.md ([Run]) and writes its tables and charts into that file
// ([Study.WriteInto]). The command simulate calls it. It replaces the text between markers only.
package report
