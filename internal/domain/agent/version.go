package agent

import (
	"reflect"
	"time"
)

// Version is an agent as it was after one of its changes. It never changes, so executions refer to it.
type Version struct {
	Agent
	// Changed names the fields in which it differs from the version before; empty for the first version.
	Changed []string `firestore:"changed,omitempty"`
}

// VersionInfo is an entry of the list of versions of an agent or an environment.
type VersionInfo struct {
	Version   int       `firestore:"version"`
	Changed   []string  `firestore:"changed"`
	UpdatedAt time.Time `firestore:"updatedAt"`
}

// Changes returns the names of the fields, as the API has them, in which two states of an agent differ.
func Changes(before, after Agent) []string {
	a, b := before.Settings, after.Settings
	var changed []string
	for _, field := range []struct {
		name          string
		before, after any
	}{
		{"name", before.Name, after.Name},
		{"description", before.Description, after.Description},
		{"instructions", before.Instructions, after.Instructions},
		{"runtime", before.Runtime, after.Runtime},
		{"model", before.Model, after.Model},
		{"timeout", before.Timeout, after.Timeout},
		{"budget", before.Budget, after.Budget},
		{"dailyBudget", before.DailyBudget, after.DailyBudget},
		{"retry", before.RetryPolicy, after.RetryPolicy},
		{"transcriptRetention", before.TranscriptRetention, after.TranscriptRetention},
		{"environmentId", before.EnvironmentID, after.EnvironmentID},
		{"schema", a.Schema, b.Schema},
		{"maxTurns", a.MaxTurns, b.MaxTurns},
		{"effort", a.Effort, b.Effort},
		{"env", a.Env, b.Env},
		{"tools", a.Tools, b.Tools},
		{"mcpServers", a.MCPServers, b.MCPServers},
		{"skills", a.Skills, b.Skills},
	} {
		if !reflect.DeepEqual(field.before, field.after) {
			changed = append(changed, field.name)
		}
	}
	return changed
}
