package agentruntime

import (
	"io"

	"github.com/airlock-run/airlock/internal/agentruntime/catalog"
	"github.com/airlock-run/airlock/internal/agentruntime/sessionfolder"
	"github.com/airlock-run/airlock/internal/agentruntime/stdinform"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/sandbox"
)

// continueConversation gives the program what was said before, in the way that its runtime declares: its own session,
// and what that may not have in front of the message.
func (r *Run) continueConversation(e *execution.Execution) {
	declared := r.entry.Conversation
	if e.ConversationID == "" || declared == nil || declared.History != catalog.HistoryStdin {
		return
	}
	t := e.Task
	earlier, resumes := t.History, false
	if declared.Resume != nil {
		r.Job.Folder, r.collectsSession = declared.Resume.Folder, true
		if resumes = r.resume(t); resumes {
			earlier = messagesBesides(t.History, t.Session.Turn)
		}
	}
	r.Job.Stdin = stdinform.Encode(earlier, resumes, t.Input)
}

// resume makes the program go on from the session of the task, if that is one of its runtime and can be used.
func (r *Run) resume(t execution.Task) bool {
	s, declared := t.Session, r.entry.Conversation.Resume
	if s == nil || s.Runtime != r.entry.Name || t.SessionData == nil {
		return false
	}
	if declared.ID != "" && !catalog.ValidSessionID(s.ID) {
		return false // it is from another declaration of the runtime
	}
	files, err := sessionfolder.Unpack(t.SessionData)
	if err != nil {
		return false
	}
	for _, f := range files {
		r.Job.Ahead.Files = append(r.Job.Ahead.Files, sandbox.File{Path: declared.Folder + "/" + f.Path, Mode: f.Mode, Data: f.Data})
	}
	r.Job.Argv = r.entry.ResumeCommand(r.Model, s.ID)
	r.sessionFile, r.resumed = t.SessionData, s.ID
	return true
}

// messagesBesides returns the messages that a session which was left in a turn may not have: the later ones, and both
// of that turn if it failed. Nobody but the program knows what it had written by then.
func messagesBesides(history []execution.Message, turn int) (later []execution.Message) {
	failed := false
	for _, m := range history {
		failed = failed || m.Turn == turn && m.Failed
	}
	for _, m := range history {
		if m.Turn > turn || m.Turn == turn && failed {
			later = append(later, m)
		}
	}
	return later
}

// extractSession returns nothing if the program has changed nothing: then its session does not have this turn.
func (command) extractSession(r *Run, folder *io.SectionReader) (session *execution.AgentSession, data []byte) {
	if folder.Size() > execution.MaxAgentSessionBytes {
		return nil, nil
	}
	data = make([]byte, folder.Size())
	if _, err := folder.ReadAt(data, 0); err != nil && err != io.EOF {
		return nil, nil
	}
	files, err := sessionfolder.Unpack(data)
	if err != nil || len(files) == 0 {
		return nil, nil
	}
	if before, err := sessionfolder.Unpack(r.sessionFile); r.sessionFile != nil && err == nil && sessionfolder.Equal(before, files) {
		return nil, nil
	}
	declared := r.entry.Conversation.Resume
	id := declared.SessionID(sessionfolder.Paths(files), r.resumed)
	if declared.ID != "" && id == "" {
		return nil, nil
	}
	return &execution.AgentSession{ID: id}, data
}

func (command) sessionPath(r *Run) string { return r.Job.Folder }
