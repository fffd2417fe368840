package offline

import (
	"strings"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// builderAnswer is the structured answer in a builder conversation.
type builderAnswer struct {
	Reply string `json:"reply"`
	Agent *draft `json:"agent,omitempty"`
}

// draft is a proposed agent. The web page offers to create it.
type draft struct {
	Name         string `json:"name"`
	Description  string `json:"description,omitempty"`
	Instructions string `json:"instructions"`
	Runtime      string `json:"runtime,omitempty"`
}

var (
	greeting = phrase{
		"Hello! I am Airlock's offline agent: a small program, not a model. I can help you make an agent. Try: \"make an agent that summarises what I paste\".",
		"안녕하세요! 저는 Airlock의 오프라인 에이전트입니다. 모델이 아니라 작은 프로그램이에요. 에이전트 만들기를 도와드릴 수 있습니다. 예: \"요약하는 에이전트 만들어줘\".",
	}
	youAreWelcome = phrase{
		"You are welcome. Tell me if you want another agent.",
		"천만에요. 다른 에이전트가 필요하면 말씀해 주세요.",
	}
	draftExists = phrase{
		"The draft from before is still there: create it, or describe what should be different, beginning with \"make an agent that\".",
		"앞에서 만든 초안이 그대로 있습니다. 만들기를 누르거나, 어떻게 바꿀지 \"…하는 에이전트 만들어줘\"라고 말씀해 주세요.",
	}
	noEarlierMessages = phrase{
		"This is the first message of our conversation.",
		"이것이 우리 대화의 첫 메시지입니다.",
	}
	earlierMessages = phrase{
		"Your messages so far were: %s.",
		"지금까지 하신 말씀은 다음과 같습니다: %s.",
	}
	capabilities = phrase{
		"I am the offline agent, not a model, so I cannot answer that. What I can do: draft an agent (say what it should do, for example \"make an agent that counts words\") and tell you what you said earlier. For open questions, ask the operator to set up the \"claude\" runtime.",
		"저는 모델이 아닌 오프라인 에이전트라서 그 질문에는 답할 수 없습니다. 대신 에이전트 초안을 만들거나(예: \"단어 수를 세는 에이전트 만들어줘\") 앞에서 하신 말씀을 알려드릴 수 있습니다. 자유로운 대화에는 \"claude\" 런타임이 필요합니다.",
	}
)

// replyToMessage answers one message of a conversation.
func replyToMessage(req request) reply {
	korean := isKorean(req.prompt)
	agent, text := proposeDraft(req.prompt)
	if text == "" {
		text = cannedReply(req, korean)
	}
	return reply{text: text, structured: &builderAnswer{Reply: text, Agent: agent}}
}

func cannedReply(req request, korean bool) string {
	switch {
	case containsTerm(req.prompt, "did i say", "i said", "earlier", "remember", "아까", "방금", "처음에", "기억", "앞에서"):
		return quoteHistory(req.history, korean)
	case containsTerm(req.prompt, "thank", "고마", "고맙", "감사"):
		return youAreWelcome.in(korean)
	case containsTerm(req.prompt, "hello", "hi", "hey", "good morning", "안녕", "반가"):
		return greeting.in(korean)
	case containsTerm(req.prompt, "yes", "ok", "sure", "네", "좋아", "그래") && hasDraft(req.history):
		return draftExists.in(korean)
	default:
		return capabilities.in(korean)
	}
}

// quoteHistory quotes the last messages of the user, truncated, newest last.
func quoteHistory(history []execution.Message, korean bool) string {
	const maxQuoted, maxLength = 5, 80
	var messages []string
	for _, m := range history {
		if m.Role == execution.RoleUser {
			messages = append(messages, `"`+truncate(m.Text, maxLength)+`"`)
		}
	}
	if len(messages) == 0 {
		return noEarlierMessages.in(korean)
	}
	return earlierMessages.format(korean, strings.Join(messages[max(0, len(messages)-maxQuoted):], ", "))
}

func hasDraft(history []execution.Message) bool {
	for _, m := range history {
		if m.Role == execution.RoleUser && wantsAgent(m.Text) {
			return true
		}
	}
	return false
}

// truncate joins the words of a text with single spaces and cuts it to limit characters.
func truncate(text string, limit int) string {
	runes := []rune(strings.Join(strings.Fields(text), " "))
	if len(runes) <= limit {
		return string(runes)
	}
	return string(runes[:limit-1]) + "…"
}
