package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	jsonpatch "github.com/evanphx/json-patch/v5"
	"github.com/spf13/cobra"

	"github.com/airlock-run/airlock/client"
)

func agentsVersions(s *serverFlags) *cobra.Command {
	return versionsCommand(s, "versions AGENT", "List the versions of an agent, the newest first, and what changed",
		func(ctx context.Context, c *client.Client, nameOrID string) (iter.Seq2[client.AgentVersion, error], error) {
			a, err := findAgent(ctx, c, nameOrID)
			return c.AgentVersions(ctx, a.Id), err
		},
		func(v client.AgentVersion) []string { return versionRow(v.Version, v.CreatedAt, v.Changed) })
}

// versionsCommand returns a command that lists the versions of one resource by its name or ID.
func versionsCommand[V any](
	s *serverFlags, use, short string,
	list func(ctx context.Context, c *client.Client, nameOrID string) (iter.Seq2[V, error], error), row func(V) []string,
) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: checkArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.newClient()
			if err != nil {
				return err
			}
			versions, err := list(cmd.Context(), c, args[0])
			if err != nil {
				return err
			}
			return showAll(s, cmd.OutOrStdout(), versions, table[V]{header: "VERSION CREATED CHANGED", row: row})
		}}
}

// versionRow is the row of a version in a table; changed has the fields that differ from the version before.
func versionRow(version int, createdAt time.Time, changed []string) []string {
	fields := strings.Join(changed, ",")
	if version == 1 {
		fields = "-"
	}
	return []string{strconv.Itoa(version), formatTime(createdAt), fields}
}

func agentsRollback(s *serverFlags) *cobra.Command {
	return &cobra.Command{Use: "rollback AGENT VERSION", Short: "Make an agent what it was in a version, as a new version", Args: checkArgs(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			version, err := strconv.Atoi(args[1])
			if err != nil || version < 1 {
				return usageError(cmd, fmt.Errorf("%q is not a version", args[1]))
			}
			c, err := s.newClient()
			if err != nil {
				return err
			}
			a, err := findAgent(cmd.Context(), c, args[0])
			if err == nil {
				a, err = wholeAgent(cmd.Context(), c, a, 0)
			}
			if err != nil {
				return err
			}
			before, err := c.AgentVersion(cmd.Context(), a.Id, version)
			if err != nil {
				return err
			}
			patch, err := patchBetween(a, before)
			if err != nil {
				return err
			}
			if a, err = c.UpdateAgent(cmd.Context(), a.Id, patch); err != nil {
				return err
			}
			return show(s, cmd.OutOrStdout(), a, showAgent)
		}}
}

// wholeAgent returns an agent with its settings, which lists leave out, or as it was in a version unless that is 0.
func wholeAgent(ctx context.Context, c *client.Client, a client.Agent, version int) (client.Agent, error) {
	switch {
	case version != 0:
		return c.AgentVersion(ctx, a.Id, version)
	case a.HasSettings:
		return c.Agent(ctx, a.Id)
	default:
		return a, nil
	}
}

// readOnlyFields are the fields of an agent that no request can set.
var readOnlyFields = []string{"id", "version", "hasSettings", "createdAt", "updatedAt"}

// patchBetween returns the patch that makes from equal to to, if from is still the newest version.
func patchBetween(from, to client.Agent) (client.Patch, error) {
	before, err := json.Marshal(from)
	if err != nil {
		return nil, err
	}
	after, err := json.Marshal(to)
	if err != nil {
		return nil, err
	}
	merge, err := jsonpatch.CreateMergePatch(before, after)
	if err != nil {
		return nil, err
	}
	var patch client.Patch
	if err := json.Unmarshal(merge, &patch); err != nil {
		return nil, err
	}
	if !bytes.Equal(from.Schema, to.Schema) { // the API replaces it as a whole
		patch["schema"] = nil
		if len(to.Schema) > 0 {
			patch["schema"] = to.Schema
		}
	}
	for _, name := range readOnlyFields {
		delete(patch, name)
	}
	patch["version"] = from.Version
	return patch, nil
}
