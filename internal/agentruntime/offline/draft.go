package offline

import (
	"regexp"
	"strings"
)

// Runtimes that a draft can name.
const (
	runtimeOffline = "offline"
	runtimeClaude  = "claude"
)

var (
	offer = words{
		"Here is a draft: \"%s\". It works on the offline runtime, so you can create it and try it at once.",
		"초안을 만들었습니다: \"%s\". offline 런타임에서 바로 만들어 실행해 볼 수 있습니다.",
	}
	offerModel = words{
		"Here is a draft: \"%s\". What it should do needs a model, so its runtime is \"claude\"; the operator has to set that up.",
		"초안을 만들었습니다: \"%s\". 이 일에는 모델이 필요하므로 런타임을 \"claude\"로 했습니다. 운영자가 설정해 두어야 합니다.",
	}
	askPurpose = words{
		"Gladly. What should the agent do with the text it is given? For example: \"make an agent that summarises it\".",
		"좋습니다. 에이전트가 무엇을 하면 될까요? 예: \"글을 요약하는 에이전트 만들어줘\".",
	}
	modelName         = words{"New agent", "새 에이전트"}
	modelInstructions = words{
		"You are an agent that does this with the input you are given: %s.",
		"주어진 입력으로 다음 일을 하는 에이전트입니다: %s.",
	}
)

// Lengths of a draft's texts, letters. They stay below what an agent may have
// (bytes, see internal/agent) in any script.
const (
	longestName        = 40
	longestDescription = 200
	longestPurpose     = 4000
)

func wantsAgent(message string) bool {
	return mentions(message, "agent", "assistant", "bot", "에이전트", "봇", "도우미") &&
		mentions(message, "make", "create", "build", "want", "need", "draft", "만들", "생성", "필요", "원해")
}

// draftFor proposes an agent if the message asks for one, and says what it
// proposes. Without a purpose there is no draft but a question; what asks for
// no agent gives neither.
func draftFor(message string) (*draft, string) {
	if !wantsAgent(message) {
		return nil, ""
	}
	korean := isKorean(message)
	if s := skillFor(message); s != nil {
		d := &draft{Name: s.name.in(korean), Description: s.draft.in(korean), Instructions: s.draft.in(korean), Runtime: runtimeOffline}
		return d, offer.format(korean, d.Name)
	}
	purpose := shorten(purposeOf(message), longestPurpose)
	if purpose == "" {
		return nil, askPurpose.in(korean)
	}
	d := &draft{
		Name:         shorten(modelName.in(korean)+": "+purpose, longestName),
		Description:  shorten(purpose, longestDescription),
		Instructions: modelInstructions.format(korean, purpose),
		Runtime:      runtimeClaude,
	}
	return d, offerModel.format(korean, d.Name)
}

var (
	purposeEnglish = regexp.MustCompile(`(?is)\b(?:agent|assistant|bot)\b[\s,:]*(?:that|which|who|to|for)\s+(.+)`)
	purposeKorean  = regexp.MustCompile(`(?s)(.+?)\s*(?:에이전트|봇|도우미)`)
)

// purposeOf is what the message says that the agent should do: in English what
// follows the word, in Korean what comes before it.
func purposeOf(message string) string {
	for _, pattern := range []*regexp.Regexp{purposeEnglish, purposeKorean} {
		if m := pattern.FindStringSubmatch(message); m != nil {
			return strings.Trim(strings.TrimSpace(m[1]), ".!?")
		}
	}
	return ""
}
