package main

import (
	"bufio"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/airlock-run/airlock/client"
	"github.com/airlock-run/airlock/internal/process"
)

// maxMessageBytes is the API's limit for a message.
const maxMessageBytes = 256 << 10

func chatCommand() *cobra.Command {
	var (
		s                  serverFlags
		agent, environment string
		c                  chat
	)
	cmd := &cobra.Command{
		Use:   "chat [--agent NAME] [--conversation ID]",
		Short: "Chat in the terminal, with an agent or with the agent builder",
		Long:  "Each line is a message. /file PATH adds a file to the next message. /create creates the agent that the last reply proposed. /quit, or the end of the input, leaves the conversation; it can be continued.",
		Args:  checkArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := process.Context()
			defer stop()
			var err error
			if c.client, err = s.newClient(); err != nil {
				return err
			}
			if c.template.EnvironmentId, err = findEnvironmentID(ctx, c.client, environment); err != nil {
				return err
			}
			if agent != "" {
				a, err := findAgent(ctx, c.client, agent)
				if err != nil {
					return err
				}
				if !a.Conversations {
					return fmt.Errorf("the agent takes part in no conversation: its runtime %q does not pass earlier messages on; use airlock run", a.Runtime)
				}
				c.template.AgentId = a.Id
			}
			return c.run(ctx, cmd)
		},
	}
	s.addServerFlag(cmd.Flags())
	cmd.Flags().StringVar(&agent, "agent", "", "name or ID of the agent to chat with")
	cmd.Flags().StringVar(&environment, "environment", "", "name or ID of the environment of the messages; default: the agent's")
	cmd.Flags().StringVar(&c.template.ConversationId, "conversation", "", "ID of the conversation to continue")
	return cmd
}

// chat is a conversation at a terminal.
type chat struct {
	client     *client.Client
	template   client.SendMessage // without the message
	agentDraft client.AgentDraft  // proposed by the last reply
	files      inputFileFlags     // of the next message
}

func (t *chat) run(ctx context.Context, cmd *cobra.Command) error {
	input := bufio.NewScanner(cmd.InOrStdin())
	input.Buffer(nil, maxMessageBytes)
	for {
		fmt.Fprint(cmd.ErrOrStderr(), "> ")
		if !input.Scan() {
			fmt.Fprintln(cmd.ErrOrStderr())
			return input.Err()
		}
		var err error
		switch line := strings.TrimSpace(input.Text()); line {
		case "":
		case "/quit":
			return nil
		case "/create":
			err = t.createProposedAgent(ctx, cmd)
		default:
			if name, ok := strings.CutPrefix(line, "/file "); ok {
				t.addFile(cmd, strings.TrimSpace(name))
				continue
			}
			err = t.sendMessage(ctx, cmd, line)
		}
		if err != nil {
			return err
		}
	}
}

func (t *chat) sendMessage(ctx context.Context, cmd *cobra.Command, text string) error {
	message := t.template
	message.Message = text
	input, err := t.files.read(ctx, t.client, false)
	if err != nil {
		return err
	}
	t.files = inputFileFlags{}
	message.Files = input.Files
	accepted, err := t.client.SendMessage(ctx, message)
	input.release(ctx, t.client)
	if err != nil {
		return err
	}
	if t.template.ConversationId == "" {
		fmt.Fprintln(cmd.ErrOrStderr(), accepted.ConversationId)
	}
	t.template.ConversationId = accepted.ConversationId
	e, err := waitForExecution(ctx, t.client, accepted.ExecutionId)
	if err != nil {
		return err
	}
	if e.Status != client.StatusSucceeded {
		fmt.Fprintln(cmd.ErrOrStderr(), executionError(e))
		return nil
	}
	fmt.Fprintln(cmd.OutOrStdout(), e.Result.Text)
	if t.agentDraft = e.Result.AgentDraft; t.agentDraft.Name != "" {
		fmt.Fprintf(cmd.ErrOrStderr(), "(/create creates the agent %q)\n", t.agentDraft.Name)
	}
	return nil
}

// addFile adds a file to the next message, if it can be read.
func (t *chat) addFile(cmd *cobra.Command, argument string) {
	name, path := splitFileArgument(argument)
	file, size, err := openInputFile(name)
	if err != nil {
		fmt.Fprintln(cmd.ErrOrStderr(), err)
		return
	}
	_ = file.Close() // it was only read
	t.files.local = append(t.files.local, argument)
	fmt.Fprintf(cmd.ErrOrStderr(), "(the next message has %s, %d bytes)\n", path, size)
}

func (t *chat) createProposedAgent(ctx context.Context, cmd *cobra.Command) error {
	d := t.agentDraft
	if d.Name == "" {
		fmt.Fprintln(cmd.ErrOrStderr(), "No agent was proposed.")
		return nil
	}
	a, err := t.client.CreateAgent(ctx, client.CreateAgent{
		Name: d.Name, Description: d.Description, Instructions: d.Instructions, Runtime: d.Runtime, Model: d.Model,
	})
	if err == nil {
		fmt.Fprintln(cmd.OutOrStdout(), a.Id)
	}
	return err
}
