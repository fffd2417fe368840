// Package name parses, checks, orders and encodes the resource names of documents, collections and databases. It does
// not know which of them exist.
package name

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Limits as documented under "Collections, documents, and fields".
const (
	maxIDBytes   = 1500    // bytes of one ID
	maxNameBytes = 6 << 10 // bytes of a whole document name
	maxDepth     = 100     // nested collections
)

// Database is the name of a database: projects/{project}/databases/{database}.
type Database struct {
	Project, ID string
}

func (d Database) String() string { return "projects/" + d.Project + "/databases/" + d.ID }

// Path is the path of a document or collection within a database, as a list of IDs. A document has an even number of
// IDs, a collection an odd number. The empty path is the root.
type Path []string

// IsDocument reports whether the path is that of a document. The root is not.
func (p Path) IsDocument() bool { return len(p) > 0 && len(p)%2 == 0 }

// Collection returns the last collection ID of a document's path.
func (p Path) Collection() string { return p[len(p)-2] }

// Parent returns the path without its last ID.
func (p Path) Parent() Path { return p[:len(p)-1] }

// ID returns the last ID of the path.
func (p Path) ID() string { return p[len(p)-1] }

// Child returns the path with IDs appended. Appending to the result does not change other children of p.
func (p Path) Child(ids ...string) Path { return append(slices.Clip(p), ids...) }

// HasPrefix reports whether p is equal to q or below it.
func (p Path) HasPrefix(q Path) bool { return len(p) >= len(q) && slices.Equal(p[:len(q)], q) }

func (p Path) String() string { return strings.Join(p, "/") }

// ResourceName returns the full resource name of the path in a database.
func (p Path) ResourceName(d Database) string {
	if len(p) == 0 {
		return d.String() + "/documents"
	}
	return d.String() + "/documents/" + p.String()
}

// Compare orders paths as Firestore orders document names: ID by ID, numeric IDs (__id7__) before all others.
func Compare(a, b Path) int {
	return slices.CompareFunc(a, b, CompareID)
}

// CompareID orders two IDs at the same position of a path.
func CompareID(a, b string) int {
	na, oka := NumericID(a)
	nb, okb := NumericID(b)
	switch {
	case oka && okb:
		return cmp.Compare(na, nb)
	case oka:
		return -1
	case okb:
		return 1
	}
	return strings.Compare(a, b)
}

// ParseDatabase parses projects/{project}/databases/{database}.
func ParseDatabase(s string) (Database, error) {
	d, rest, err := splitDatabase(s)
	if err != nil || rest != "" {
		return Database{}, malformed("database", s)
	}
	return d, nil
}

// ParseDocument parses the full name of a document and checks all limits.
func ParseDocument(s string) (Database, Path, error) {
	d, p, err := ParseParent(s)
	if err != nil {
		return d, p, err
	}
	if !p.IsDocument() {
		return d, nil, status.Errorf(codes.InvalidArgument, "Document name %q lacks a document ID: it names a collection or the root.", s)
	}
	return d, p, nil
}

// ParseParent parses the full name of a document, a collection or the root, and checks all limits.
func ParseParent(s string) (Database, Path, error) {
	d, rest, err := splitDatabase(s)
	if err != nil {
		return d, nil, malformed("document", s)
	}
	if rest == "documents" {
		return d, nil, nil
	}
	rest, ok := strings.CutPrefix(rest, "documents/")
	if !ok {
		return d, nil, malformed("document", s)
	}
	if len(s) > maxNameBytes {
		return d, nil, status.Errorf(codes.InvalidArgument, "The document name is %d bytes long; the limit is %d.", len(s), maxNameBytes)
	}
	p := Path(strings.Split(rest, "/"))
	if len(p) > 2*maxDepth {
		return d, nil, status.Errorf(codes.InvalidArgument, "Document name %q is more than %d collections deep.", s, maxDepth)
	}
	for _, id := range p {
		if err := CheckID(id); err != nil {
			return d, nil, err
		}
	}
	return d, p, nil
}

// CheckID checks one document or collection ID.
func CheckID(id string) error {
	switch {
	case id == "":
		return status.Error(codes.InvalidArgument, "A resource ID must not be empty.")
	case len(id) > maxIDBytes:
		return status.Errorf(codes.InvalidArgument, "A resource ID is %d bytes long; the limit is %d.", len(id), maxIDBytes)
	case id == "." || id == "..":
		return status.Errorf(codes.InvalidArgument, "Resource ID %q is not allowed.", id)
	case strings.Contains(id, "/"):
		return status.Errorf(codes.InvalidArgument, "Resource ID %q contains a slash.", id)
	case !utf8.ValidString(id):
		return status.Errorf(codes.InvalidArgument, "Resource ID %q is not valid UTF-8.", id)
	}
	if _, numeric := NumericID(id); Reserved(id) && !numeric {
		return status.Errorf(codes.InvalidArgument, "Resource ID %q is invalid because it is reserved.", id)
	}
	return nil
}

// Reserved reports whether an ID or a field name has the reserved form __.*__.
func Reserved(s string) bool {
	return len(s) >= 4 && strings.HasPrefix(s, "__") && strings.HasSuffix(s, "__")
}

// splitDatabase parses the database at the beginning of a name and returns the rest.
func splitDatabase(s string) (Database, string, error) {
	parts := strings.SplitN(s, "/", 5)
	if len(parts) < 4 || parts[0] != "projects" || parts[2] != "databases" || parts[1] == "" || parts[3] == "" {
		return Database{}, "", fmt.Errorf("%q does not begin with a database", s)
	}
	rest := ""
	if len(parts) == 5 {
		rest = parts[4]
	}
	return Database{Project: parts[1], ID: parts[3]}, rest, nil
}

func malformed(what, s string) error {
	return status.Errorf(codes.InvalidArgument, "Invalid %s name %q: expected projects/{project}/databases/{database}%s.",
		what, s, map[string]string{"document": "/documents/..."}[what])
}
