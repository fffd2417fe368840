package contract

import (
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// fieldErrors describes the errors of a validator for people, one for each field. parameter is the name of what was
// validated; empty for the body.
func fieldErrors(parameter string, err error) []FieldError {
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		return nil
	}
	var found []FieldError
	for _, leaf := range leafErrors(invalid) {
		field := strings.Join(leaf.InstanceLocation, ".")
		if field == "" {
			field = parameter
		}
		found = append(found, describeError(field, leaf.ErrorKind)...)
	}
	return found
}

func leafErrors(err *jsonschema.ValidationError) []*jsonschema.ValidationError {
	if len(err.Causes) == 0 {
		return []*jsonschema.ValidationError{err}
	}
	var all []*jsonschema.ValidationError
	for _, cause := range err.Causes {
		if _, names := cause.ErrorKind.(*kind.PropertyNames); names {
			// This error knows the wrong name; its causes do not. Its own location shares memory with other errors and is
			// overwritten, so the parent's location is used.
			all = append(all, &jsonschema.ValidationError{InstanceLocation: err.InstanceLocation, ErrorKind: cause.ErrorKind})
			continue
		}
		all = append(all, leafErrors(cause)...)
	}
	return all
}

func describeError(field string, kindOfError jsonschema.ErrorKind) []FieldError {
	var found []FieldError
	switch kindOfError := kindOfError.(type) {
	case *kind.Required:
		for _, name := range kindOfError.Missing {
			found = append(found, FieldError{Field: joinField(field, name), Detail: "is required"})
		}
	case *kind.AdditionalProperties:
		for _, name := range kindOfError.Properties {
			found = append(found, FieldError{Field: joinField(field, name), Detail: "is not a field; GET /openapi.json describes the request"})
		}
	case *kind.PropertyNames:
		found = append(found, FieldError{Field: joinField(field, kindOfError.Property), Detail: "is not an allowed name; GET /openapi.json describes the request"})
	default:
		if field == "" {
			field = "body"
		}
		found = append(found, FieldError{Field: field, Detail: describeKind(kindOfError)})
	}
	return found
}

func describeKind(kindOfError jsonschema.ErrorKind) string {
	switch kindOfError := kindOfError.(type) {
	case *kind.Type:
		return "must be " + withArticle(strings.Join(kindOfError.Want, " or "))
	case *kind.Enum:
		words := make([]string, len(kindOfError.Want))
		for i, value := range kindOfError.Want {
			if words[i] = fmt.Sprint(value); value == nil {
				words[i] = "null"
			}
		}
		return "must be one of: " + strings.Join(words, ", ")
	case *kind.MinLength:
		return "must contain text"
	case *kind.MaxLength:
		return fmt.Sprintf("must have at most %d characters", kindOfError.Want)
	case *kind.Minimum:
		return "must be at least " + decimal(kindOfError.Want)
	case *kind.Maximum:
		return "must be at most " + decimal(kindOfError.Want)
	case *kind.ExclusiveMinimum:
		return "must be greater than " + decimal(kindOfError.Want)
	case *kind.MaxProperties:
		return fmt.Sprintf("must have at most %d members", kindOfError.Want)
	case *kind.MinItems:
		return fmt.Sprintf("must have at least %d elements", kindOfError.Want)
	case *kind.MaxItems:
		return fmt.Sprintf("must have at most %d elements", kindOfError.Want)
	default:
		return kindOfError.LocalizedString(message.NewPrinter(language.English))
	}
}

// decimal writes a bound as the contract does: 0.01, not 1/100.
func decimal(bound *big.Rat) string {
	f, _ := bound.Float64()
	return strconv.FormatFloat(f, 'f', -1, 64)
}

func joinField(parent, name string) string {
	if parent == "" {
		return name
	}
	return parent + "." + name
}

func withArticle(noun string) string {
	if strings.ContainsAny(noun[:1], "aeiou") {
		return "an " + noun
	}
	return "a " + noun
}
