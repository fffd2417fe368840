package catalog

import (
	"regexp"
	"slices"
	"strings"
)

// Conversation declares how a program of the contract Command takes part in a conversation. Without it the program gets
// no earlier messages in a way that it is known to read, so the API accepts no messages for its agents.
type Conversation struct {
	History History `yaml:"history"`
	Resume  *Resume `yaml:"resume"` // nil: the program has no session of its own
}

// History is how a program reads the earlier messages.
type History string

// The ways.
const (
	HistoryStdin History = "stdin" // in front of the new message on standard input, see agentruntime
	HistoryFile  History = "file"  // the program reads the file that AIRLOCK_HISTORY names
)

// Resume declares how a program goes on from the session that it left in an earlier turn. What the session does not
// have comes by HistoryStdin.
type Resume struct {
	// Argv replaces the runtime's Argv in a turn with a session. SessionPlaceholder in an argument is replaced with the ID
	// of the session.
	Argv []string `yaml:"argv"`
	// Folder is the absolute path of the folder below the agent's home in which the program keeps its session. All files
	// of it are the session.
	Folder string `yaml:"folder"`
	// ID is a regular expression with one group. The group of the first path below Folder that it matches is the ID of the
	// session. Empty: Argv names no session; the program finds its newest one by itself.
	ID string `yaml:"id"`
}

// SessionPlaceholder stands for the ID of the session in Resume.Argv.
const SessionPlaceholder = "{session}"

// sessionIDPattern keeps a name that the agent chose from being anything but an ID on the command line.
var sessionIDPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$`)

// ValidSessionID reports whether an ID may be an argument.
func ValidSessionID(id string) bool { return sessionIDPattern.MatchString(id) }

// SessionID returns the ID of the session that consists of files with these paths, relative to Folder; empty: none of
// them has one, or Argv names no session. A session that was resumed keeps its ID, as long as it is there.
func (r Resume) SessionID(paths []string, resumed string) string {
	if r.ID == "" {
		return ""
	}
	pattern := regexp.MustCompile(r.ID)
	var ids []string
	for _, p := range slices.Sorted(slices.Values(paths)) {
		if m := pattern.FindStringSubmatch(p); m != nil && ValidSessionID(m[1]) {
			ids = append(ids, m[1])
		}
	}
	switch {
	case len(ids) == 0:
		return ""
	case slices.Contains(ids, resumed):
		return resumed
	default:
		return ids[0]
	}
}

// Converses reports whether agents of the runtime can take part in conversations.
func (r Runtime) Converses() bool { return r.Contract == StreamJSON || r.Conversation != nil }

// ResumeCommand returns Resume.Argv with the model and the session in place of their placeholders.
func (r Runtime) ResumeCommand(model, session string) []string {
	resumed := r
	resumed.Argv = r.Conversation.Resume.Argv
	argv := resumed.Command(model)
	for i, arg := range argv {
		argv[i] = strings.ReplaceAll(arg, SessionPlaceholder, session)
	}
	return argv
}

func (v *validator) conversation(r Runtime, pos position) {
	c := r.Conversation
	if c == nil {
		return
	}
	v.rejectIf(r.Contract != Command, pos, "conversation is for the contract %s only", Command)
	v.rejectIf(c.History != HistoryStdin && c.History != HistoryFile, pos.lookup("history"), "history must be %s or %s", HistoryStdin, HistoryFile)
	if c.Resume == nil {
		return
	}
	v.rejectIf(c.History == HistoryFile, pos.lookup("history"), "history must be %s if the program resumes: it says what the session does not have", HistoryStdin)
	v.resume(r, *c.Resume, pos.lookup("resume"))
}

func (v *validator) resume(r Runtime, resume Resume, pos position) {
	v.argv(resume.Argv, r.Models, pos.lookup("argv"))
	within := func(dir, file string) bool { return file == dir || strings.HasPrefix(file, dir+"/") }
	v.rejectIf(!isSandboxPath(resume.Folder) || !within("/home/agent", resume.Folder) || within("/home/agent/.airlock", resume.Folder),
		pos.lookup("folder"), "folder must be a clean path below /home/agent, and not of Airlock's own files")
	v.rejectIf(within(resume.Folder, r.InstructionsPath), pos.lookup("folder"), "folder must not have the file of the instructions")
	named := slices.ContainsFunc(resume.Argv, func(arg string) bool { return strings.Contains(arg, SessionPlaceholder) })
	pattern, err := regexp.Compile(resume.ID)
	v.rejectIf(err != nil || resume.ID != "" && pattern.NumSubexp() != 1, pos.lookup("id"), "id must be a regular expression with one group, which is the ID in a path")
	v.rejectIf(named && resume.ID == "", pos.lookup("argv"), "argv uses %s, but id does not say which it is", SessionPlaceholder)
	v.rejectIf(!named && resume.ID != "", pos.lookup("id"), "id is given, but argv does not use %s", SessionPlaceholder)
}
