// Package field parses field paths, and gets, sets and deletes the values at these paths. It does not check values.
package field

import (
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
)

// maxPathBytes is the documented limit of a field path.
const maxPathBytes = 1500

// DocumentID is the field path that means the name of the document.
const DocumentID = "__name__"

// Path is a list of field names that leads into nested maps.
type Path []string

var simpleName = regexp.MustCompile(`^[A-Za-z_][A-Za-z_0-9]*$`)

// Parse parses the textual form: names joined by dots, each plain or quoted with backticks.
func Parse(s string) (Path, error) {
	if len(s) > maxPathBytes {
		return nil, invalid(s, "it is longer than 1500 bytes")
	}
	var p Path
	for rest := s; ; {
		part, after, err := nextSegment(s, rest)
		if err != nil {
			return nil, err
		}
		p = append(p, part)
		if after == "" {
			return p, nil
		}
		if after[0] != '.' {
			return nil, invalid(s, "names must be joined by dots")
		}
		rest = after[1:]
	}
}

// nextSegment parses the name at the beginning of rest.
func nextSegment(whole, rest string) (part, after string, err error) {
	if !strings.HasPrefix(rest, "`") {
		part, after = rest, ""
		if i := strings.IndexByte(rest, '.'); i >= 0 {
			part, after = rest[:i], rest[i:]
		}
		if !simpleName.MatchString(part) {
			return "", "", invalid(whole, "a name that is not letters, digits and underscores must be quoted with backticks")
		}
		return part, after, nil
	}
	var b strings.Builder
	for i := 1; i < len(rest); i++ {
		switch rest[i] {
		case '`':
			if b.Len() == 0 {
				return "", "", invalid(whole, "a name is empty")
			}
			return b.String(), rest[i+1:], nil
		case '\\':
			if i++; i == len(rest) {
				return "", "", invalid(whole, "it ends in a backslash")
			}
			b.WriteByte(rest[i])
		default:
			b.WriteByte(rest[i])
		}
	}
	return "", "", invalid(whole, "a backtick is not closed")
}

func invalid(s, why string) error {
	return status.Errorf(codes.InvalidArgument, "Invalid property path %q: %s.", s, why)
}

// String returns the canonical textual form, which Parse accepts.
func (p Path) String() string {
	parts := make([]string, len(p))
	for i, s := range p {
		if !simpleName.MatchString(s) {
			s = "`" + strings.NewReplacer(`\`, `\\`, "`", "\\`").Replace(s) + "`"
		}
		parts[i] = s
	}
	return strings.Join(parts, ".")
}

// IsDocumentID reports whether the path is __name__.
func (p Path) IsDocumentID() bool { return len(p) == 1 && p[0] == DocumentID }

// Compare orders paths name by name.
func Compare(a, b Path) int { return slices.Compare(a, b) }

// CheckName checks one field name of a document.
func CheckName(s string) error {
	switch {
	case s == "":
		return status.Error(codes.InvalidArgument, "A field name must not be empty.")
	case len(s) > maxPathBytes:
		return status.Errorf(codes.InvalidArgument, "A field name is %d bytes long; the limit is %d.", len(s), maxPathBytes)
	case !utf8.ValidString(s):
		return status.Errorf(codes.InvalidArgument, "Field name %q is not valid UTF-8.", s)
	case name.Reserved(s):
		return status.Errorf(codes.InvalidArgument, "Field name %q is invalid because it is reserved.", s)
	}
	return nil
}

// Get returns the value at the path; nil if there is none.
func Get(fields map[string]*pb.Value, p Path) *pb.Value {
	v := fields[p[0]]
	for _, part := range p[1:] {
		v = v.GetMapValue().GetFields()[part]
	}
	return v
}

// Set sets the value at the path. On the way it creates maps, and replaces values that are not maps.
func Set(fields map[string]*pb.Value, p Path, v *pb.Value) {
	for _, part := range p[:len(p)-1] {
		m := fields[part].GetMapValue()
		if m == nil {
			m = &pb.MapValue{}
			fields[part] = &pb.Value{ValueType: &pb.Value_MapValue{MapValue: m}}
		}
		if m.Fields == nil {
			m.Fields = map[string]*pb.Value{}
		}
		fields = m.Fields
	}
	fields[p[len(p)-1]] = v
}

// Delete removes the value at the path. The maps on the way stay, even if they become empty.
func Delete(fields map[string]*pb.Value, p Path) {
	for _, part := range p[:len(p)-1] {
		fields = fields[part].GetMapValue().GetFields()
	}
	delete(fields, p[len(p)-1])
}

// Project returns a new map with only the values at the paths. A nil mask means all fields. It does not change fields.
func Project(fields map[string]*pb.Value, mask []Path) map[string]*pb.Value {
	if mask == nil {
		return fields
	}
	out := map[string]*pb.Value{}
	for _, p := range mask {
		if v := Get(fields, p); v != nil && !coveredByMask(mask, p) {
			Set(out, p, v)
		}
	}
	return out
}

// coveredByMask reports whether another path of the mask leads to a map that contains p. The projection shares this
// map with its source, so it must not set p.
func coveredByMask(mask []Path, p Path) bool {
	return slices.ContainsFunc(mask, func(q Path) bool {
		return len(q) < len(p) && slices.Equal(q, p[:len(q)])
	})
}

// ParseMask parses a list of field paths. A nil mask stays nil; an empty mask stays empty.
func ParseMask(m *pb.DocumentMask) ([]Path, error) {
	if m == nil {
		return nil, nil
	}
	out := make([]Path, 0, len(m.GetFieldPaths()))
	for _, s := range m.GetFieldPaths() {
		p, err := Parse(s)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}
