package offline

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf8"
)

// skill is one thing that the agent can do with a text.
type skill struct {
	name              phrase
	draftInstructions phrase   // instructions for an agent that uses the skill
	terms             []string // instructions that contain one of these select the skill
	apply             func(instructions, input string) string
}

// skills lists all skills. Instructions select the one that they mention first.
var skills = []skill{
	{
		name:              phrase{"Summarizer", "요약 도우미"},
		draftInstructions: phrase{"Summarise the text you are given in three sentences.", "주어진 글을 세 문장으로 요약하세요."},
		terms:             []string{"summar", "tl;dr", "shorten", "digest", "요약", "간추", "줄여"},
		apply:             summarise,
	},
	{
		name:              phrase{"Word counter", "단어 세기 도우미"},
		draftInstructions: phrase{"Count the words, characters and lines of the text you are given.", "주어진 글의 단어 수, 글자 수, 줄 수를 세세요."},
		terms:             []string{"count", "how many words", "word count", "단어 수", "글자 수", "세어", "세는", "세기", "세세요"},
		apply:             countWords,
	},
	{
		name:              phrase{"JSON formatter", "JSON 정리 도우미"},
		draftInstructions: phrase{"Pretty-print the JSON you are given.", "주어진 JSON을 보기 좋게 정리하세요."},
		terms:             []string{"json", "pretty"},
		apply:             formatJSON,
	},
	{
		name:              phrase{"Upper-caser", "대문자 변환 도우미"},
		draftInstructions: phrase{"Turn the text you are given into upper case.", "주어진 글을 대문자로 바꾸세요."},
		terms:             []string{"upper", "capital", "대문자"},
		apply:             func(_, input string) string { return strings.ToUpper(input) },
	},
	{
		name:              phrase{"Lower-caser", "소문자 변환 도우미"},
		draftInstructions: phrase{"Turn the text you are given into lower case.", "주어진 글을 소문자로 바꾸세요."},
		terms:             []string{"lower", "소문자"},
		apply:             func(_, input string) string { return strings.ToLower(input) },
	},
	{
		name:              phrase{"Echo", "메아리 도우미"},
		draftInstructions: phrase{"Echo the text you are given unchanged.", "주어진 글을 그대로 돌려주세요."},
		terms:             []string{"echo", "repeat", "그대로", "메아리", "반복"},
		apply:             func(_, input string) string { return input },
	},
}

var unsupported = phrase{
	"This agent runs on the offline runtime, which has no model. It can summarise, count words, pretty-print JSON, " +
		"change to upper or lower case, and echo. These instructions need a model: set the agent's runtime to \"claude\".",
	"이 에이전트는 모델이 없는 offline 런타임에서 실행됩니다. 요약, 단어 수 세기, JSON 정리, 대문자·소문자 변환, " +
		"그대로 돌려주기를 할 수 있습니다. 이 지시에는 모델이 필요합니다. 에이전트의 runtime을 \"claude\"로 바꿔 주세요.",
}

// applySkill applies the skill that the instructions mention, or says that they need a model.
func applySkill(instructions, input string) string {
	if s := findSkill(instructions); s != nil {
		return s.apply(instructions, input)
	}
	return unsupported.in(isKorean(instructions) || isKorean(input))
}

func findSkill(text string) *skill {
	var found *skill
	first := -1
	for i := range skills {
		at := indexOfTerm(text, skills[i].terms...)
		if at >= 0 && (first < 0 || at < first) {
			found, first = &skills[i], at
		}
	}
	return found
}

func countWords(_, input string) string {
	lines := 0
	for range strings.Lines(input) {
		lines++
	}
	return phrase{"%d words, %d characters, %d lines", "단어 %d개, 글자 %d자, %d줄"}.
		format(isKorean(input), len(strings.Fields(input)), utf8.RuneCountInString(input), lines)
}

func formatJSON(_, input string) string {
	var out bytes.Buffer
	if err := json.Indent(&out, []byte(strings.TrimSpace(input)), "", "  "); err != nil {
		return phrase{"The input is not JSON: %v.", "입력이 JSON이 아닙니다: %v."}.format(isKorean(input), err)
	}
	return out.String()
}
