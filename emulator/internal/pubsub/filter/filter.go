// Package filter parses the filter language of Pub/Sub subscriptions and matches filters with the attributes of
// messages. It never reads a message's data.
//
//	attributes:key              the attribute exists
//	attributes.key = "value"    it exists and has the value
//	attributes.key != "value"   it does not exist or has another value
//	hasPrefix(attributes.key, "value")
//
// Terms are joined by AND or by OR; a mix of both needs parentheses. NOT or - negates a term. A key with other
// characters than letters, digits, hyphens and underscores is written as a string literal.
package filter

import "strings"

// MaxLength is the maximum length of a filter, in bytes.
const MaxLength = 256

// Filter matches the attributes of a message. Parse returns one.
type Filter interface {
	Match(attributes map[string]string) bool
}

type allOf []Filter

func (f allOf) Match(a map[string]string) bool {
	for _, f := range f {
		if !f.Match(a) {
			return false
		}
	}
	return true
}

type anyOf []Filter

func (f anyOf) Match(a map[string]string) bool {
	for _, f := range f {
		if f.Match(a) {
			return true
		}
	}
	return false
}

type negation struct{ Filter }

func (f negation) Match(a map[string]string) bool { return !f.Filter.Match(a) }

type hasKey struct{ key string }

func (f hasKey) Match(a map[string]string) bool {
	_, ok := a[f.key]
	return ok
}

type equal struct{ key, value string }

func (f equal) Match(a map[string]string) bool {
	v, ok := a[f.key]
	return ok && v == f.value
}

type prefix struct{ key, value string }

func (f prefix) Match(a map[string]string) bool {
	v, ok := a[f.key]
	return ok && strings.HasPrefix(v, f.value)
}
