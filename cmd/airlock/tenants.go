package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/airlock-run/airlock/client"
)

func tenantsCommand() *cobra.Command {
	s := serverFlags{operator: true}
	return commandGroup("tenants", "List tenants, pause and resume one, set its limits, as the operator", &s, tenantsList(&s), tenantsGet(&s),
		tenantsPause(&s, "pause", "Let no attempt of a tenant begin; its work is accepted and waits", true),
		tenantsPause(&s, "resume", "Let attempts of a tenant begin again", false), tenantsSet(&s))
}

func tenantsList(s *serverFlags) *cobra.Command {
	var onlyWaiting bool
	cmd := &cobra.Command{Use: "list", Short: "List the tenants that have settings or work that has waited, by name", Args: checkArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := s.newClient()
			if err != nil {
				return err
			}
			return showAll(s, cmd.OutOrStdout(), c.Tenants(cmd.Context(), onlyWaiting), table[client.Tenant]{
				header: "TENANT STATE WAITING RUNNING BATCH_WAITING BATCH_RUNNING SETTINGS",
				row: func(t client.Tenant) []string {
					return []string{
						t.Id, tenantState(t.Settings),
						formatCount(t.Work.Waiting.Interactive, t.Work), formatCount(t.Work.Running.Interactive, t.Work),
						formatCount(t.Work.Waiting.Batch, t.Work), formatCount(t.Work.Running.Batch, t.Work), settingsText(t.Settings),
					}
				},
			})
		}}
	cmd.Flags().BoolVar(&onlyWaiting, "waiting", false, "only tenants whose work waits for a free slot")
	return cmd
}

func tenantState(t client.TenantSettings) string {
	if t.Paused {
		return "paused"
	}
	return "active"
}

// settingsText lists the settings that differ from the defaults, in the words of the flags of tenants set.
func settingsText(t client.TenantSettings) string {
	var set []string
	add := func(name string, value any, isSet bool) {
		if isSet {
			set = append(set, fmt.Sprintf("%s=%v", name, value))
		}
	}
	if t.MaxQueued != nil {
		add("max-queued", limitText(float64(*t.MaxQueued)), true)
	}
	if t.MaxRunning != nil {
		add("max-running", limitText(float64(*t.MaxRunning)), true)
	}
	if t.MaxDailyUsd != nil {
		add("max-daily-usd", limitText(*t.MaxDailyUsd), true)
	}
	add("soft-limit", t.SoftLimit, t.SoftLimit != 0)
	add("weight", t.Weight, t.Weight != 0)
	add("transcript-retention", t.TranscriptRetention, t.TranscriptRetention != "")
	return cmp.Or(strings.Join(set, ","), "-")
}

func tenantsGet(s *serverFlags) *cobra.Command {
	return tenantCommand(s, "get", "Show the settings, the limits and the work of a tenant", (*client.Client).Tenant)
}

// tenantCommand does something with a tenant and shows it.
func tenantCommand(
	s *serverFlags, name, short string, do func(*client.Client, context.Context, string) (client.TenantDetail, error),
) *cobra.Command {
	return &cobra.Command{Use: name + " TENANT", Short: short, Args: checkArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.newClient()
			if err != nil {
				return err
			}
			t, err := do(c, cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return show(s, cmd.OutOrStdout(), t, writeTenant)
		}}
}

func writeTenant(out io.Writer, t client.TenantDetail) {
	fmt.Fprintln(out, t.Id)
	writeField(out, "state", tenantState(t.Settings))
	writeField(out, "waiting", fmt.Sprintf("%s, and %s of batches", formatCount(t.Work.Waiting.Interactive, t.Work), formatCount(t.Work.Waiting.Batch, t.Work)))
	writeField(out, "running", fmt.Sprintf("%s, and %s of batches", formatCount(t.Work.Running.Interactive, t.Work), formatCount(t.Work.Running.Batch, t.Work)))
	writeField(out, "max-queued", limitText(float64(t.Limits.MaxQueued)))
	writeField(out, "max-running", limitText(float64(t.Limits.MaxRunning)))
	writeField(out, "max-daily-usd", limitText(t.Limits.MaxDailyUsd))
	writeField(out, "spent today", fmt.Sprintf("%.4f USD", t.SpentTodayUsd))
	writeField(out, "soft-limit", limitText(t.Limits.SoftLimit))
	writeField(out, "weight", limitText(t.Limits.Weight))
	writeField(out, "transcripts", cmp.Or(t.Limits.TranscriptRetention, "as long as their executions"))
	writeField(out, "set", settingsText(t.Settings))
}

// limitText writes a limit; 0 is none.
func limitText(n float64) string {
	if n == 0 {
		return "none"
	}
	return strconv.FormatFloat(n, 'f', -1, 64)
}

func tenantsPause(s *serverFlags, name, short string, paused bool) *cobra.Command {
	return tenantCommand(s, name, short, func(c *client.Client, ctx context.Context, tenant string) (client.TenantDetail, error) {
		return c.UpdateTenant(ctx, tenant, client.Patch{"paused": paused})
	})
}

func updateTenant(cmd *cobra.Command, s *serverFlags, name string, patch client.Patch) error {
	c, err := s.newClient()
	if err != nil {
		return err
	}
	t, err := c.UpdateTenant(cmd.Context(), name, patch)
	if err != nil {
		return err
	}
	return show(s, cmd.OutOrStdout(), t, writeTenant)
}

// tenantFields are the settings that tenants set changes, with the fields of the API.
var tenantFields = []struct {
	flag, field, usage string
	parse              func(text string) (any, error)
}{
	{"max-queued", "maxQueued", "queued executions, without those of batches", parseNumber},
	{"max-running", "maxRunning", "running executions", parseNumber},
	{"max-daily-usd", "maxDailyUsd", "US dollars that the executions of a day may cost", parseNumber},
	{"soft-limit", "softLimit", "part of the daily budget, up to 1, after which the tenant is warned", parseNumber},
	{"weight", "weight", "weight of the tenant's share of the slots; others have 1", parseNumber},
	{"transcript-retention", "transcriptRetention", "how long transcripts are stored after the end of their executions, at most, such as 72h; 0s: not at all", parseDuration},
}

func parseNumber(text string) (any, error) {
	if _, err := strconv.ParseFloat(text, 64); err != nil || !json.Valid([]byte(text)) {
		return nil, errors.New("a number")
	}
	return json.Number(text), nil
}

func parseDuration(text string) (any, error) {
	if _, err := time.ParseDuration(text); err != nil {
		return nil, errors.New("a duration such as 72h")
	}
	return text, nil
}

// resetValue resets a setting to the default of the installation.
const resetValue = "default"

func tenantsSet(s *serverFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use: "set TENANT [--max-running N] …", Short: "Change the settings whose flags are set", Args: checkArgs(cobra.ExactArgs(1)),
		Long: "Change the settings whose flags are set. A number 0 is no limit; \"" + resetValue + "\" is what the installation has.",
		RunE: func(cmd *cobra.Command, args []string) error {
			patch := client.Patch{}
			for _, f := range tenantFields {
				if !cmd.Flags().Changed(f.flag) {
					continue
				}
				text, _ := cmd.Flags().GetString(f.flag) // no error: the type is that of the flag
				if text == resetValue {
					patch[f.field] = nil
					continue
				}
				value, err := f.parse(text)
				if err != nil {
					return usageError(cmd, fmt.Errorf("--%s must be %w or %q, not %q", f.flag, err, resetValue, text))
				}
				patch[f.field] = value
			}
			if len(patch) == 0 {
				return usageError(cmd, errors.New("no flag names a setting to change"))
			}
			return updateTenant(cmd, s, args[0], patch)
		},
	}
	for _, f := range tenantFields {
		cmd.Flags().String(f.flag, "", f.usage)
	}
	return cmd
}
