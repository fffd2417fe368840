package offline

import (
	"strings"
	"unicode"
)

// words holds one thing to say in each language that the agent has.
type phrase struct{ en, ko string }

func (w phrase) in(korean bool) string {
	if korean {
		return w.ko
	}
	return w.en
}

// isKorean says whether to answer in Korean: any Hangul is enough, because
// Korean text about software is full of Latin words.
func isKorean(text string) bool {
	return strings.ContainsFunc(text, func(r rune) bool { return unicode.Is(unicode.Hangul, r) })
}

// mentions looks for any of the terms: Latin ones as the beginning of a word,
// so that "hi" is not found in "this"; Hangul ones anywhere, because Korean
// joins particles and endings to words.
func containsTerm(text string, terms ...string) bool { return indexOfTerm(text, terms...) >= 0 }

// position is where the first of the terms begins in text, or -1. Both are compared in lower case.
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
