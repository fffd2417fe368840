package answerschema

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"regexp/syntax"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Bounds of one check. A schema whose parts refer to each other can apply exponentially many rules to a small value,
// and the library has no limit. So each rule that it applies is paid for from a budget.
const (
	// maxVisits bounds how often a part of the schema is applied to a part of the answer. Each visit may leave an error of
	// some 300 bytes in memory.
	maxVisits = 300_000
	// maxWork bounds the steps of all visits. A step takes some 10 to 100 ns.
	maxWork = 30_000_000
	// maxPatternSize bounds the states of all patterns together. A pattern is matched in linear time (RE2), which is
	// the product of its states and the length of the text.
	maxPatternSize = 20_000
)

// errExhausted is also the value of the panic that ends a check. The library has no other way out.
var errExhausted = errors.New("the answer cannot be checked: its schema takes too long for an answer of this size")

// budget counts the work of one check.
type budget struct {
	visits, work int
	patternSize  int // of all patterns; counted when they are compiled
}

func (b *budget) reset() { b.visits, b.work = 0, 0 }

func (b *budget) spend(work int) {
	if b.work += work; b.work > maxWork || work < 0 {
		panic(errExhausted)
	}
}

// count makes every part of a schema that can be reached pay for its visits. The check of the format comes before that
// of all parts below, so it is where a visit pays. A part whose type or enum does not match is left before that; the
// part above has paid for it.
func (b *budget) count(root *jsonschema.Schema) {
	parts := partsBelow(root)
	for _, part := range parts {
		price, format := priceOf(part), part.Format
		counted := &jsonschema.Format{Validate: func(v any) error {
			if b.visits++; b.visits > maxVisits {
				panic(errExhausted)
			}
			b.spend(price * (1 + children(v)))
			if part.UniqueItems {
				b.spendSize(v)
			}
			if format == nil {
				return nil
			}
			return format.Validate(v)
		}}
		if format != nil {
			counted.Name = format.Name
		}
		part.Format = counted
	}
}

// priceOf is the work of one visit for each child of the value: the rules of the part, and what the parts directly
// below do before they pay themselves.
func priceOf(part *jsonschema.Schema) int {
	price := 1 + 4*len(part.Required) // whose error lists all that are missing
	for _, below := range subschemas(part) {
		price++
		if below.Enum != nil {
			for _, v := range below.Enum.Values {
				price += size(v)
			}
		}
		if below.Const != nil {
			price += size(*below.Const)
		}
	}
	return price
}

func children(v any) int {
	switch v := v.(type) {
	case []any:
		return len(v)
	case map[string]any:
		return len(v)
	default:
		return 0
	}
}

// size is the number of values in a value.
func size(v any) int {
	n := 1
	switch v := v.(type) {
	case []any:
		for _, element := range v {
			n += size(element)
		}
	case map[string]any:
		for _, member := range v {
			n += size(member)
		}
	case string:
		n += len(v) / 64
	}
	return n
}

// spendSize pays for the size of a value while it is counted.
func (b *budget) spendSize(v any) {
	switch v := v.(type) {
	case []any:
		b.spend(len(v))
		for _, element := range v {
			b.spendSize(element)
		}
	case map[string]any:
		b.spend(len(v))
		for _, member := range v {
			b.spendSize(member)
		}
	case string:
		b.spend(1 + len(v)/64)
	default:
		b.spend(1)
	}
}

// partsBelow returns a schema and all parts that it reaches.
func partsBelow(root *jsonschema.Schema) []*jsonschema.Schema {
	seen := map[*jsonschema.Schema]bool{root: true}
	parts := []*jsonschema.Schema{root}
	for i := 0; i < len(parts); i++ {
		for _, below := range subschemas(parts[i]) {
			if !seen[below] {
				seen[below] = true
				parts = append(parts, below)
			}
		}
	}
	return parts
}

// subschemas returns the schemas that the fields of a schema hold, whatever the keyword, so that no new one is missed.
func subschemas(s *jsonschema.Schema) []*jsonschema.Schema {
	var found []*jsonschema.Schema
	var visit func(reflect.Value)
	visit = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Interface:
			if !v.IsNil() {
				visit(v.Elem())
			}
		case reflect.Pointer:
			if below, ok := v.Interface().(*jsonschema.Schema); ok && below != nil {
				found = append(found, below)
			}
		case reflect.Slice:
			for i := range v.Len() {
				visit(v.Index(i))
			}
		case reflect.Map:
			for entry := v.MapRange(); entry.Next(); {
				visit(entry.Value())
			}
		default:
		}
	}
	fields := reflect.ValueOf(s).Elem()
	for i := range fields.NumField() {
		if fields.Type().Field(i).IsExported() {
			visit(fields.Field(i))
		}
	}
	return found
}

// pattern is a regular expression that pays for its work.
type pattern struct {
	*regexp.Regexp
	budget *budget
	size   int // states
}

func (p pattern) MatchString(text string) bool {
	p.budget.spend(1 + p.size*(1+len(text))/8)
	return p.Regexp.MatchString(text)
}

// compilePattern compiles a pattern in the syntax of RE2, if it is not too large. It is called for the patterns of the
// schema, and for each once more when the schema itself is checked.
func (b *budget) compilePattern(text string) (jsonschema.Regexp, error) {
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, err
	}
	states := patternSize(tree)
	if b.patternSize += states; b.patternSize > maxPatternSize {
		return nil, fmt.Errorf("the patterns of the schema have more than %d states", maxPatternSize/2)
	}
	compiled, err := regexp.Compile(text)
	if err != nil {
		return nil, err
	}
	return pattern{Regexp: compiled, budget: b, size: states}, nil
}

// patternSize estimates the states of a pattern, with its repetitions written out. It stops adding when there are too
// many.
func patternSize(tree *syntax.Regexp) int {
	n := 1 + len(tree.Rune)/2
	for _, sub := range tree.Sub {
		n = min(n+patternSize(sub), maxPatternSize+1)
	}
	if tree.Op == syntax.OpRepeat {
		n *= max(tree.Min, tree.Max, 1)
	}
	return min(n, maxPatternSize+1)
}
