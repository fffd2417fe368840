package catalog

import "go.yaml.in/yaml/v3"

// position is a node of the file's YAML tree. Errors take their line number from it.
type position struct{ node *yaml.Node }

// lookup follows the path: a string selects a field of a mapping, an int an element of a list. If a step does not
// exist, the position of its parent stands for it.
func (p position) lookup(path ...any) position {
	node := p.node
	for _, step := range path {
		node = childNode(node, step)
	}
	return position{node}
}

func childNode(node *yaml.Node, step any) *yaml.Node {
	switch node.Kind {
	case yaml.DocumentNode:
		return childNode(node.Content[0], step)
	case yaml.AliasNode:
		return childNode(node.Alias, step)
	case yaml.MappingNode:
		for i := 0; i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == step {
				return node.Content[i+1]
			}
		}
	case yaml.SequenceNode:
		if i, ok := step.(int); ok && i < len(node.Content) {
			return node.Content[i]
		}
	default:
	}
	return node
}

// line returns the line number, counted from 1.
func (p position) line() int { return max(1, p.node.Line) }
