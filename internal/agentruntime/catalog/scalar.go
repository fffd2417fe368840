package catalog

import (
	"fmt"
	"strings"
	"time"

	"github.com/docker/go-units"
	"go.yaml.in/yaml/v3"
)

// UnmarshalYAML reads a size such as 512MiB.
func (s *Size) UnmarshalYAML(node *yaml.Node) error {
	n, err := units.RAMInBytes(node.Value)
	if node.Kind != yaml.ScalarNode || err != nil || n < 0 {
		return newTypeError(node, "%q is not a size, such as 512MiB", node.Value)
	}
	*s = Size(n)
	return nil
}

// UnmarshalYAML reads a duration such as 90s.
func (d *Duration) UnmarshalYAML(node *yaml.Node) error {
	n, err := time.ParseDuration(node.Value)
	if node.Kind != yaml.ScalarNode || err != nil || n < 0 {
		return newTypeError(node, "%q is not a duration, such as 90s", node.Value)
	}
	*d = Duration(n)
	return nil
}

// UnmarshalYAML reads a request line such as "POST /v1/messages", with an optional "local" in front.
func (r *Route) UnmarshalYAML(node *yaml.Node) error {
	words := strings.Fields(node.Value)
	if len(words) == 3 && words[0] == "local" {
		r.Local = true
		words = words[1:]
	}
	if node.Kind != yaml.ScalarNode || len(words) != 2 {
		return newTypeError(node, "%q is not a request line, such as POST /v1/messages", node.Value)
	}
	r.Method, r.Target = words[0], words[1]
	return nil
}

// newTypeError returns an error of the type that the decoder collects instead of stopping.
func newTypeError(node *yaml.Node, format string, args ...any) error {
	return &yaml.TypeError{Errors: []string{fmt.Sprintf("line %d: ", node.Line) + fmt.Sprintf(format, args...)}}
}
