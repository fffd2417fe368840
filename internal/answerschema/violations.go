package answerschema

import (
	"fmt"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

const (
	maxViolations  = 3
	maxDetailBytes = 200
)

// describe returns the first reasons of an error, each with the place in the value.
func describe(err *jsonschema.ValidationError) []string {
	var found []string
	printer := message.NewPrinter(language.English)
	var visit func(*jsonschema.ValidationError)
	visit = func(err *jsonschema.ValidationError) {
		if len(found) == maxViolations {
			return
		}
		if len(err.Causes) == 0 {
			place := "/" + strings.Join(err.InstanceLocation, "/")
			found = append(found, fmt.Sprintf("%s: %s", shorten(place), shorten(err.ErrorKind.LocalizedString(printer))))
		}
		for _, cause := range err.Causes {
			visit(cause)
		}
	}
	visit(err)
	return found
}

func shorten(text string) string {
	text = strings.ToValidUTF8(text, "")
	if len(text) <= maxDetailBytes {
		return text
	}
	return strings.ToValidUTF8(text[:maxDetailBytes], "") + "…"
}
