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
	draftReady = phrase{
		"Here is a draft: \"%s\". It works on the offline runtime, so you can create it and try it at once.",
		"초안을 만들었습니다: \"%s\". offline 런타임에서 바로 만들어 실행해 볼 수 있습니다.",
	}
	draftNeedsModel = phrase{
		"Here is a draft: \"%s\". What it should do needs a model, so its runtime is \"claude\"; the operator has to set that up.",
		"초안을 만들었습니다: \"%s\". 이 일에는 모델이 필요하므로 런타임을 \"claude\"로 했습니다. 운영자가 설정해 두어야 합니다.",
	}
	askPurpose = phrase{
		"Gladly. What should the agent do with the text it is given? For example: \"make an agent that summarises it\".",
		"좋습니다. 에이전트가 무엇을 하면 될까요? 예: \"글을 요약하는 에이전트 만들어줘\".",
	}
	modelDraftName         = phrase{"New agent", "새 에이전트"}
	modelDraftInstructions = phrase{
		"You are an agent that does this with the input you are given: %s.",
		"주어진 입력으로 다음 일을 하는 에이전트입니다: %s.",
	}
)

// Maximum lengths of the texts of a draft, in characters. In every script they are below the limits of an agent, which
// are in bytes (internal/domain/agent).
const (
	maxNameLength        = 40
	maxDescriptionLength = 200
	maxPurposeLength     = 4000
)

func wantsAgent(message string) bool {
	return containsTerm(message, "agent", "assistant", "bot", "에이전트", "봇", "도우미") &&
		containsTerm(message, "make", "create", "build", "want", "need", "draft", "만들", "생성", "필요", "원해")
}

// proposeDraft returns a draft and a text about it if the message asks for an agent. If the message does not say what
// the agent is for, the draft is nil and the text is a question. If it does not ask for an agent, both are empty.
func proposeDraft(message string) (*draft, string) {
	if !wantsAgent(message) {
		return nil, ""
	}
	korean := isKorean(message)
	if s := findSkill(message); s != nil {
		d := &draft{Name: s.name.in(korean), Description: s.draftInstructions.in(korean), Instructions: s.draftInstructions.in(korean), Runtime: runtimeOffline}
		return d, draftReady.format(korean, d.Name)
	}
	purpose := truncate(extractPurpose(message), maxPurposeLength)
	if purpose == "" {
		return nil, askPurpose.in(korean)
	}
	d := &draft{
		Name:         truncate(modelDraftName.in(korean)+": "+purpose, maxNameLength),
		Description:  truncate(purpose, maxDescriptionLength),
		Instructions: modelDraftInstructions.format(korean, purpose),
		Runtime:      runtimeClaude,
	}
	return d, draftNeedsModel.format(korean, d.Name)
}

var (
	purposeEnglish = regexp.MustCompile(`(?is)\b(?:agent|assistant|bot)\b[\s,:]*(?:that|which|who|to|for)\s+(.+)`)
	purposeKorean  = regexp.MustCompile(`(?s)(.+?)\s*(?:에이전트|봇|도우미)`)
)

// extractPurpose returns what the agent should do. In English that follows the word "agent", in Korean it precedes it.
func extractPurpose(message string) string {
	for _, pattern := range []*regexp.Regexp{purposeEnglish, purposeKorean} {
		if m := pattern.FindStringSubmatch(message); m != nil {
			return strings.Trim(strings.TrimSpace(m[1]), ".!?")
		}
	}
	return ""
}
