package execution

import (
	"maps"
	"slices"
	"strings"
)

// Label is a label of the caller as one text, "name=value", because a Firestore query compares one value.
// A name has no "=".
type Label string

// Labels returns the labels of a map in the order of their names.
func Labels(byName map[string]string) []Label {
	var labels []Label
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		labels = append(labels, Label(name+"="+byName[name]))
	}
	return labels
}

// Cut returns the label's name and value.
func (l Label) Cut() (name, value string) {
	name, value, _ = strings.Cut(string(l), "=")
	return name, value
}
