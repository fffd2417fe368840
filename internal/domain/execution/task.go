package execution

import (
	"slices"

	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/environment"
)

// Task is what the agent must do. Changes of the agent after the acceptance do not change it: it is a copy, and refers
// to a version of the agent for the settings, which may be large.
type Task struct {
	Runtime      string `firestore:"runtime"`
	Model        string `firestore:"model,omitempty"` // empty: the runtime's default
	Instructions string `firestore:"instructions,omitempty"`
	Input        string `firestore:"input"`

	// Schema is the JSON Schema of the structured answer; empty: that of the settings. An answer without it is accepted.
	Schema string `firestore:"schema,omitempty"`

	// HasSettings says that the version of the agent has Settings. They are read after the claim and not stored here.
	HasSettings bool           `firestore:"hasSettings,omitempty"`
	Settings    agent.Settings `firestore:"-"`

	// Environment is the environment in which the job runs, in the version of the acceptance; zero: none. A retry has the
	// same version.
	Environment environment.VersionRef `firestore:"environment,omitzero"`
	// Network and Variables are those of the environment. They are read after the claim and not stored here.
	Network   environment.Network `firestore:"-"`
	Variables map[string]string   `firestore:"-"`

	// InputFileList lists the input files; SetInputFiles sets it. InputFiles holds those that are stored with the
	// execution; it is read after the claim and not stored here.
	InputFileList []File      `firestore:"inputFiles,omitempty"`
	InputFiles    []InputFile `firestore:"-"`
	// FileIDs are the uploaded files of InputFileList. Their contents are stored while an execution has them here.
	FileIDs []string `firestore:"fileIds,omitempty"`

	// Workspace has the files with which the job begins; nil: none. That of a turn is the conversation's, read after the
	// claim and not stored here.
	Workspace *Workspace `firestore:"workspace,omitempty"`

	// Budget is the agent's. The operator's budget applies as well.
	Budget agent.Budget `firestore:"budget,omitzero"`
	// DailyBudget is the agent's. It bounds all executions of the agent together.
	DailyBudget agent.DailyBudget `firestore:"dailyBudget,omitzero"`

	// History holds earlier messages of the conversation. It is read after the claim and not stored here.
	History []Message `firestore:"-"`
	// Session is the agent's memory of the conversation; nil: there is none, and the agent uses History. SessionData is
	// its content; nil if that is lost. Both are read after the claim and not stored here.
	Session     *AgentSession `firestore:"-"`
	SessionData []byte        `firestore:"-"`
}

// SetInputFiles sets the list of the input files.
func (t *Task) SetInputFiles(files []File) {
	t.InputFileList, t.FileIDs = files, FileIDs(files)
}

// StoresInputFiles reports whether the content of an input file is stored with the execution.
func (t *Task) StoresInputFiles() bool {
	return slices.ContainsFunc(t.InputFileList, func(f File) bool { return f.FileID == "" })
}

// FileIDs returns the IDs of the uploaded files in a list, each once.
func FileIDs(files []File) []string {
	var ids []string
	for _, f := range files {
		if f.FileID != "" && !slices.Contains(ids, f.FileID) {
			ids = append(ids, f.FileID)
		}
	}
	return ids
}

// Message is one message of the conversation, as the agent reads it.
type Message struct {
	Role Role
	Text string
	Turn int // of the conversation
	// Failed marks the reply of a turn without an answer. Text then says how the turn ended.
	Failed bool
}

// Role is the author of a message.
type Role string

// The roles.
const (
	RoleUser      Role = "user"
	RoleAssistant Role = "assistant"
)
