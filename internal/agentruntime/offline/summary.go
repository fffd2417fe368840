package offline

import (
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

const defaultSentences = 3

// summarise returns the first sentences of the input: as many as the instructions ask for, or defaultSentences.
func summarise(instructions, input string) string {
	all := splitSentences(input)
	return strings.Join(all[:min(requestedSentences(instructions), len(all))], " ")
}

var (
	sentencesEnglish = regexp.MustCompile(`(?i)\b(\d{1,2}|one|two|three|four|five)[ -](?:short )?sentence`)
	sentencesKorean  = regexp.MustCompile(`(\d{1,2}|한|두|세|네|다섯)\s*문장`)

	numerals = map[string]int{
		"one": 1, "two": 2, "three": 3, "four": 4, "five": 5,
		"한": 1, "두": 2, "세": 3, "네": 4, "다섯": 5,
	}
)

func requestedSentences(instructions string) int {
	for _, pattern := range []*regexp.Regexp{sentencesEnglish, sentencesKorean} {
		m := pattern.FindStringSubmatch(instructions)
		if m == nil {
			continue
		}
		if n, ok := numerals[strings.ToLower(m[1])]; ok {
			return n
		}
		if n, err := strconv.Atoi(m[1]); err == nil && n > 0 {
			return n
		}
	}
	return defaultSentences
}

// splitSentences cuts after a full stop that is followed by white space or the end of the text, and at line breaks.
func splitSentences(text string) []string {
	var out []string
	runes := []rune(text)
	start := 0
	cut := func(end int) {
		if s := strings.Join(strings.Fields(string(runes[start:end])), " "); s != "" {
			out = append(out, s)
		}
		start = end
	}
	for i, r := range runes {
		last := i+1 == len(runes)
		switch {
		case r == '\n', r == '。':
			cut(i + 1)
		case strings.ContainsRune(".!?", r) && (last || unicode.IsSpace(runes[i+1])):
			cut(i + 1)
		}
	}
	cut(len(runes))
	return out
}
