// Package environment defines an environment: what the sandboxes of executions may reach, and their variables.
//
// In: environments, as a tenant describes them, and the operator's list of hosts. Out: what is wrong with them, and
// Rules, which say whether a host may be reached. The package never resolves a name and never opens a connection.
package environment

import (
	"maps"
	"slices"
	"time"
)

// Environment belongs to one tenant. Its Firestore document is this struct.
type Environment struct {
	ID          string            `firestore:"id"`
	Tenant      string            `firestore:"tenant"`
	Name        string            `firestore:"name"`
	Description string            `firestore:"description,omitempty"`
	Network     Network           `firestore:"network,omitzero"`
	Variables   map[string]string `firestore:"variables,omitempty"` // of the agent and of what it starts; they are not secret

	Version   int       `firestore:"version"` // counts the changes: 1 is the environment as it was created
	CreatedAt time.Time `firestore:"createdAt"`
	UpdatedAt time.Time `firestore:"updatedAt"` // when the version was made
}

// Limits of an environment. MaxVariablesBytes bounds names and values together, so that a page of a list stays small.
const (
	MaxNameBytes        = 200
	MaxDescriptionBytes = 2000
	MaxVariablesBytes   = 64 << 10
)

// VersionRef names a version of an environment of the tenant; the zero value names none.
type VersionRef struct {
	ID      string `firestore:"id"`
	Version int    `firestore:"version"`
}

// IsZero reports whether no environment is named.
func (r VersionRef) IsZero() bool { return r == VersionRef{} }

// Ref names this version of the environment.
func (e Environment) Ref() VersionRef { return VersionRef{ID: e.ID, Version: e.Version} }

// Version is an environment as it was after one of its changes. It never changes, so executions refer to it.
type Version struct {
	Environment
	// Changed names the fields in which it differs from the version before; empty for the first version.
	Changed []string `firestore:"changed,omitempty"`
}

// Changes returns the names of the fields, as the API has them, in which two states of an environment differ.
func Changes(before, after Environment) []string {
	var changed []string
	for _, field := range []struct {
		name    string
		differs bool
	}{
		{"name", before.Name != after.Name},
		{"description", before.Description != after.Description},
		{"network", !before.Network.equal(after.Network)},
		{"variables", !maps.Equal(before.Variables, after.Variables)},
	} {
		if field.differs {
			changed = append(changed, field.name)
		}
	}
	return changed
}

func (n Network) equal(other Network) bool {
	return n.Mode == other.Mode && n.Packages == other.Packages && slices.Equal(n.Hosts, other.Hosts)
}
