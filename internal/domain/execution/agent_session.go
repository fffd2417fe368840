package execution

// AgentSession describes what an agent remembers of a conversation: not only its messages, but also what it did with
// tools. The content is in blob storage, below the execution whose attempt left it, in the format of its runtime. Only
// agents of the same runtime can read it.
type AgentSession struct {
	ExecutionID string `firestore:"executionId"`
	Attempt     int    `firestore:"attempt"`
	Turn        int    `firestore:"turn"` // the newest turn that it has
	Runtime     string `firestore:"runtime"`
	Model       string `firestore:"model"`
	// ID is that of a session which its program resumes by an ID of its own.
	ID string `firestore:"id,omitempty"`
	// Size is the number of bytes before compression, at most MaxAgentSessionBytes.
	Size    int64   `firestore:"size"`
	Content Content `firestore:"content"` // as it is stored: compressed with zstd
}

// MaxAgentSessionBytes bounds AgentSession.Size. Of a larger session the newest part is kept.
const MaxAgentSessionBytes = 16 << 20
