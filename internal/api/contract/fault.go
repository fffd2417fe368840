package contract

import (
	"errors"
	"fmt"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// faults says what a validator found in words for people, one for each place.
// within names what was validated; empty where it is the body.
func faults(within string, err error) []FieldError {
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		return nil
	}
	var found []FieldError
	for _, leaf := range leaves(invalid) {
		place := strings.Join(leaf.InstanceLocation, ".")
		if place == "" {
			place = within
		}
		found = append(found, explain(place, leaf.ErrorKind)...)
	}
	return found
}

func leaves(err *jsonschema.ValidationError) []*jsonschema.ValidationError {
	if len(err.Causes) == 0 {
		return []*jsonschema.ValidationError{err}
	}
	var all []*jsonschema.ValidationError
	for _, cause := range err.Causes {
		if _, names := cause.ErrorKind.(*kind.PropertyNames); names {
			// It knows which name, which what is below does not; but its location shares
			// memory with that of others, and is overwritten.
			all = append(all, &jsonschema.ValidationError{InstanceLocation: err.InstanceLocation, ErrorKind: cause.ErrorKind})
			continue
		}
		all = append(all, leaves(cause)...)
	}
	return all
}

func explain(place string, why jsonschema.ErrorKind) []FieldError {
	var found []FieldError
	switch why := why.(type) {
	case *kind.Required:
		for _, name := range why.Missing {
			found = append(found, FieldError{Field: member(place, name), Detail: "must be given"})
		}
	case *kind.AdditionalProperties:
		for _, name := range why.Properties {
			found = append(found, FieldError{Field: member(place, name), Detail: "there is no such field; GET /openapi.json describes the request"})
		}
	case *kind.PropertyNames:
		found = append(found, FieldError{Field: member(place, why.Property), Detail: "is not a name that can be used here; GET /openapi.json describes the request"})
	default:
		if place == "" {
			place = "body"
		}
		found = append(found, FieldError{Field: place, Detail: detail(why)})
	}
	return found
}

func detail(why jsonschema.ErrorKind) string {
	switch why := why.(type) {
	case *kind.Type:
		return "must be " + article(strings.Join(why.Want, " or "))
	case *kind.Enum:
		words := make([]string, len(why.Want))
		for i, one := range why.Want {
			words[i] = fmt.Sprint(one)
		}
		return "must be one of: " + strings.Join(words, ", ")
	case *kind.MinLength:
		return "must hold some text"
	case *kind.MaxLength:
		return fmt.Sprintf("must have at most %d characters", why.Want)
	case *kind.Minimum:
		return "must be at least " + why.Want.RatString()
	case *kind.Maximum:
		return "must be at most " + why.Want.RatString()
	case *kind.ExclusiveMinimum:
		return "must be above " + why.Want.RatString()
	case *kind.MaxProperties:
		return fmt.Sprintf("must have at most %d members", why.Want)
	case *kind.MaxItems:
		return fmt.Sprintf("must have at most %d elements", why.Want)
	default:
		return why.LocalizedString(message.NewPrinter(language.English))
	}
}

func member(place, name string) string {
	if place == "" {
		return name
	}
	return place + "." + name
}

func article(noun string) string {
	if strings.ContainsAny(noun[:1], "aeiou") {
		return "an " + noun
	}
	return "a " + noun
}
