package offline

import (
	"fmt"
	"strings"
	"unicode"
)

// phrase is one text in each language of the agent.
type phrase struct{ en, ko string }

func (p phrase) in(korean bool) string {
	if korean {
		return p.ko
	}
	return p.en
}

func (p phrase) format(korean bool, args ...any) string { return fmt.Sprintf(p.in(korean), args...) }

// isKorean reports whether to answer in Korean. A single Hangul letter is enough, because Korean text about software
// contains many Latin words.
func isKorean(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return unicode.Is(unicode.Hangul, r) })
}

// containsTerm reports whether text contains any of the terms. A Latin term must be at the beginning of a word, so that
// "this" does not contain "hi". A Hangul term may be anywhere, because Korean joins particles and endings to words.
func containsTerm(text string, terms ...string) bool { return indexOfTerm(text, terms...) >= 0 }

// indexOfTerm returns the index of the first of the terms in text, or -1. Terms are in lower case; text may be in any.
func indexOfTerm(text string, terms ...string) int {
	text = strings.ToLower(text)
	first := -1
	for _, term := range terms {
		for from := 0; ; {
			at := strings.Index(text[from:], term)
			if at < 0 {
				break
			}
			at += from
			if isKorean(term) || at == 0 || !isLetter(text[at-1]) {
				if first < 0 || at < first {
					first = at
				}
				break
			}
			from = at + len(term)
		}
	}
	return first
}

func isLetter(b byte) bool { return 'a' <= b && b <= 'z' || '0' <= b && b <= '9' }
