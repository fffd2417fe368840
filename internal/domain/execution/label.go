package execution

import (
	"maps"
	"slices"
	"strings"
)

// Label is "name=value" of the caller's own. It is one text because that is
// what a query asks for; a name has no "=".
type Label string

// Labels are the labels of a map, in order.
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
