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

// maxLine is how long a message may be, in bytes: what the API takes.
const maxLine = 256 << 10

func chatCommand() *cobra.Command {
	var (
		s     server
		agent string
		talk  chat
	)
	cmd := &cobra.Command{
		Use:   "chat [--agent NAME] [--conversation ID]",
		Short: "Talk in the terminal, with an agent or with the builder of agents",
		Long:  "Each line is a message. /create creates the agent that the last reply proposed; /quit, or the end of the input, ends the conversation, which stays.",
		Args:  usageArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := process.Context()
			defer stop()
			var err error
			if talk.client, err = s.connect(); err != nil {
				return err
			}
			if agent != "" {
				a, err := findAgent(ctx, talk.client, agent)
				if err != nil {
					return err
				}
				talk.next.AgentId = a.Id
			}
			return talk.run(ctx, cmd)
		},
	}
	s.flags(cmd.Flags())
	cmd.Flags().StringVar(&agent, "agent", "", "name or ID of the agent to talk with")
	cmd.Flags().StringVar(&talk.next.ConversationId, "conversation", "", "ID of the conversation to continue")
	return cmd
}

// chat is a conversation at a terminal.
type chat struct {
	client   *client.Client
	next     client.SendMessage // all but the message
	proposed client.AgentDraft  // by the last reply
}

func (t *chat) run(ctx context.Context, cmd *cobra.Command) error {
	input := bufio.NewScanner(cmd.InOrStdin())
	input.Buffer(nil, maxLine)
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
			err = t.create(ctx, cmd)
		default:
			err = t.say(ctx, cmd, line)
		}
		if err != nil {
			return err
		}
	}
}

func (t *chat) say(ctx context.Context, cmd *cobra.Command, text string) error {
	message := t.next
	message.Message = text
	accepted, err := t.client.Send(ctx, message)
	if err != nil {
		return err
	}
	if t.next.ConversationId == "" {
		fmt.Fprintln(cmd.ErrOrStderr(), accepted.ConversationId)
	}
	t.next.ConversationId = accepted.ConversationId
	e, err := follow(ctx, t.client, accepted.ExecutionId)
	if err != nil {
		return err
	}
	if e.Status != client.StatusSucceeded {
		fmt.Fprintln(cmd.ErrOrStderr(), failed(e))
		return nil
	}
	fmt.Fprintln(cmd.OutOrStdout(), e.Result.Text)
	if t.proposed = e.Result.AgentDraft; t.proposed.Name != "" {
		fmt.Fprintf(cmd.ErrOrStderr(), "(/create creates the agent %q)\n", t.proposed.Name)
	}
	return nil
}

func (t *chat) create(ctx context.Context, cmd *cobra.Command) error {
	d := t.proposed
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
