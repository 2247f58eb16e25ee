// Package report makes the comparison of scaling policies readable: it runs the study of docs/autoscaling.md
// ([Run]) and writes its tables and pictures into that file ([Study.WriteInto]). The command simulate calls it.
// The one thing to know: all numbers in the documentation's tables stand between markers, and are replaced;
// the words around them are people's.
package report
