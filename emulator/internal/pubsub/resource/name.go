// Package resource checks and splits the names of Pub/Sub resources, projects/{project}/{kind}/{id}. It does not
// know which resources exist.
package resource

import (
	"fmt"
	"strings"
)

// Kind is the collection a resource belongs to.
type Kind string

// The kinds of resources.
const (
	Topics        Kind = "topics"
	Subscriptions Kind = "subscriptions"
	Snapshots     Kind = "snapshots"
)

// DeletedTopic is the topic name of a subscription whose topic was deleted.
const DeletedTopic = "_deleted-topic_"

// NameError reports an invalid name.
type NameError struct {
	Kind   Kind
	Name   string
	Reason string
}

func (e *NameError) Error() string {
	return fmt.Sprintf("Invalid [%s] name: (name=%s): %s.", e.Kind, e.Name, e.Reason)
}

// Check returns a *NameError if name is not the full name of a resource of the kind.
func Check(kind Kind, name string) error {
	parts := strings.Split(name, "/")
	if len(parts) != 4 || parts[0] != "projects" || parts[2] != string(kind) {
		return &NameError{kind, name, fmt.Sprintf("it must look like projects/{project}/%s/{id}", kind)}
	}
	if !validProject(parts[1]) {
		return &NameError{kind, name, "the project has invalid characters"}
	}
	if reason := invalidIDReason(parts[3]); reason != "" {
		return &NameError{kind, name, reason}
	}
	return nil
}

// CheckProject returns a *NameError if name is not projects/{project}.
func CheckProject(name string) error {
	project, ok := strings.CutPrefix(name, "projects/")
	if !ok || !validProject(project) {
		return &NameError{"projects", name, "it must look like projects/{project}"}
	}
	return nil
}

// Project returns projects/{project} of a name that Check accepts.
func Project(name string) string {
	i := strings.IndexByte(name, '/')
	j := strings.IndexByte(name[i+1:], '/')
	return name[:i+1+j]
}

func validProject(p string) bool {
	// A project name may contain a domain: "example.com:project".
	return p != "" && strings.Trim(p, letters+digits+"-.:_") == ""
}

const (
	letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	digits  = "0123456789"
)

func invalidIDReason(id string) string {
	switch {
	case len(id) < 3 || len(id) > 255:
		return "the ID must have 3 to 255 characters"
	case !strings.ContainsRune(letters, rune(id[0])):
		return "the ID must start with a letter"
	case strings.HasPrefix(id, "goog"):
		return `the ID must not start with "goog"`
	case strings.Trim(id, letters+digits+"-_.~+%") != "":
		return "the ID has invalid characters"
	}
	return ""
}
