package offline

import (
	"errors"
	"flag"
	"fmt"
	"io"

	"github.com/google/uuid"
)

// options are the flags of the CLI that a runtime uses. Other flags are errors, so that the first test fails when a
// runtime starts to use a new flag.
type options struct {
	model   string
	session uuid.UUID
	resume  bool
}

func parseOptions(args []string) (options, error) {
	var (
		opts               options
		sessionID          string
		resumeID           string
		printMode, verbose bool
		inputFormat        string
		format             string
		maxTurns           int
		skipPermissions    bool
		partialMessages    bool
	)
	flags := flag.NewFlagSet("agent-offline", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.BoolVar(&printMode, "print", false, "answer and exit")
	flags.BoolVar(&verbose, "verbose", false, "print every event")
	flags.BoolVar(&skipPermissions, "dangerously-skip-permissions", false, "nothing to skip: the agent has no tools")
	flags.BoolVar(&partialMessages, "include-partial-messages", false, "it says everything at once")
	flags.StringVar(&inputFormat, "input-format", "text", "stream-json only")
	flags.StringVar(&format, "output-format", "text", "stream-json only")
	flags.StringVar(&opts.model, "model", "", "named in the events")
	flags.IntVar(&maxTurns, "max-turns", 1, "at least 1")
	flags.StringVar(&sessionID, "session-id", "", "UUID of the new session")
	flags.StringVar(&resumeID, "resume", "", "UUID of the session to resume")
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}

	switch {
	case flags.NArg() > 0:
		return options{}, fmt.Errorf("unexpected argument %q: the job is read from standard input", flags.Arg(0))
	case !printMode || !verbose || inputFormat != "stream-json" || format != "stream-json":
		return options{}, errors.New("--print --verbose --input-format stream-json --output-format stream-json are required")
	case maxTurns < 1:
		return options{}, fmt.Errorf("--max-turns %d: at least 1", maxTurns)
	case sessionID != "" && resumeID != "":
		return options{}, errors.New("--session-id and --resume exclude each other")
	}
	id := sessionID
	if resumeID != "" {
		id, opts.resume = resumeID, true
	}
	if id == "" {
		opts.session = uuid.New()
		return opts, nil
	}
	var err error
	if opts.session, err = uuid.Parse(id); err != nil {
		return options{}, fmt.Errorf("session %q: %w", id, err)
	}
	return opts, nil
}
