package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/airlock-run/airlock/client"
)

func environmentsCommand() *cobra.Command {
	var s serverFlags
	return commandGroup("environments", "List, get, create, update and delete environments, and see their versions", &s,
		environmentsList(&s), environmentsGet(&s), environmentsCreate(&s), environmentsUpdate(&s), environmentsVersions(&s), environmentsDelete(&s))
}

func environmentsList(s *serverFlags) *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List all environments, the newest first", Args: checkArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := s.newClient()
			if err != nil {
				return err
			}
			return showAll(s, cmd.OutOrStdout(), c.Environments(cmd.Context()), table[client.Environment]{
				header: "ID NAME NETWORK VARIABLES UPDATED",
				row: func(e client.Environment) []string {
					return []string{e.Id, truncate(e.Name), truncate(networkText(e.Network)), strconv.Itoa(len(e.Variables)), formatTime(e.UpdatedAt)}
				},
			})
		}}
}

// networkText says in one line what a sandbox can reach.
func networkText(n client.Network) string {
	hosts := slices.Clone(n.Hosts)
	if n.Packages {
		hosts = append([]string{"packages"}, hosts...)
	}
	if len(hosts) == 0 {
		return string(n.Mode)
	}
	return string(n.Mode) + ": " + strings.Join(hosts, ", ")
}

func environmentsGet(s *serverFlags) *cobra.Command {
	version := 0
	cmd := &cobra.Command{Use: "get ENVIRONMENT [--version N]", Short: "Show an environment, by its name or ID", Args: checkArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.newClient()
			if err != nil {
				return err
			}
			e, err := findEnvironment(cmd.Context(), c, args[0])
			if err == nil && version != 0 {
				e, err = c.EnvironmentVersion(cmd.Context(), e.Id, version)
			}
			if err != nil {
				return err
			}
			return show(s, cmd.OutOrStdout(), e, showEnvironment)
		}}
	cmd.Flags().IntVar(&version, "version", 0, "show the environment as it was in this version")
	return cmd
}

func showEnvironment(out io.Writer, e client.Environment) {
	writeField(out, "ID", e.Id)
	writeField(out, "Name", e.Name)
	writeField(out, "Description", e.Description)
	writeField(out, "Network", networkText(e.Network))
	for _, name := range slices.Sorted(maps.Keys(e.Variables)) {
		writeField(out, "Variable", name+"="+e.Variables[name])
	}
	writeField(out, "Version", strconv.Itoa(e.Version))
	writeField(out, "Created", formatTime(e.CreatedAt))
	writeField(out, "Updated", formatTime(e.UpdatedAt))
}

func environmentFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.String("name", "", "name of the environment")
	f.String("description", "", "purpose of the environment")
	f.String("network", "", "what sandboxes can reach: none, limited (--host, --packages), or open (any public host)")
	f.StringArray("host", nil, "a host that sandboxes can reach, such as api.example.com or '*.example.org:8443'; replaces all hosts; may be repeated")
	f.Bool("packages", false, "allow the usual registries of packages")
	f.StringToString("var", nil, "variables of the sandboxes, as NAME=VALUE; may be repeated")
}

// environmentPatch holds the fields whose flags are set. An empty text resets a field to its default.
func environmentPatch(cmd *cobra.Command) client.Patch {
	f, patch, network := cmd.Flags(), client.Patch{}, client.Patch{}
	for _, name := range []string{"name", "description"} {
		if f.Changed(name) {
			text, _ := f.GetString(name) // no error: the types are those of the flags
			patch[name] = nilIfZero(text)
		}
	}
	mode, _ := f.GetString("network")
	if f.Changed("network") {
		network["mode"] = mode
	}
	if f.Changed("host") {
		hosts, _ := f.GetStringArray("host")
		network["hosts"] = slices.DeleteFunc(hosts, func(host string) bool { return host == "" })
	}
	if f.Changed("packages") {
		network["packages"], _ = f.GetBool("packages")
	}
	switch {
	case len(network) == 1 && (mode == "none" || f.Changed("network") && mode == ""):
		patch["network"] = nil // without its hosts
	case len(network) > 0:
		patch["network"] = network
	}
	variables := map[string]any{}
	if f.Changed("var") {
		set, _ := f.GetStringToString("var")
		for name, value := range set {
			variables[name] = value
		}
	}
	if f.Lookup("unset") != nil {
		names, _ := f.GetStringArray("unset")
		for _, name := range names {
			variables[name] = nil
		}
	}
	if len(variables) > 0 {
		patch["variables"] = variables
	}
	return patch
}

func environmentsCreate(s *serverFlags) *cobra.Command {
	cmd := &cobra.Command{Use: "create --name NAME [--network limited --host HOST … --packages] [--var NAME=VALUE …]", Short: "Create an environment and print its ID", Args: checkArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			f := cmd.Flags()
			e := client.CreateEnvironment{}
			e.Name, _ = f.GetString("name") // no error: the types are those of the flags
			e.Description, _ = f.GetString("description")
			mode, _ := f.GetString("network")
			e.Network.Mode = client.NetworkMode(mode)
			e.Network.Hosts, _ = f.GetStringArray("host")
			e.Network.Packages, _ = f.GetBool("packages")
			if mode == "" && len(e.Network.Hosts) == 0 && !e.Network.Packages {
				e.Network.Mode = client.NetworkNone
			} else if mode == "" {
				e.Network.Mode = client.NetworkLimited
			}
			e.Variables, _ = f.GetStringToString("var")
			c, err := s.newClient()
			if err != nil {
				return err
			}
			created, err := c.CreateEnvironment(cmd.Context(), e)
			if err != nil {
				return err
			}
			return show(s, cmd.OutOrStdout(), created, func(out io.Writer, e client.Environment) { fmt.Fprintln(out, e.Id) })
		}}
	environmentFlags(cmd)
	return cmd
}

func environmentsUpdate(s *serverFlags) *cobra.Command {
	ifVersion := 0
	cmd := &cobra.Command{Use: "update ENVIRONMENT [--name NAME] …", Short: "Change the fields whose flags are set; an empty value resets a field to its default", Args: checkArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			patch := environmentPatch(cmd)
			if len(patch) == 0 {
				return usageError(cmd, errors.New("no flag names a field to change"))
			}
			if ifVersion > 0 {
				patch["version"] = ifVersion
			}
			c, err := s.newClient()
			if err != nil {
				return err
			}
			e, err := findEnvironment(cmd.Context(), c, args[0])
			if err != nil {
				return err
			}
			if e, err = c.UpdateEnvironment(cmd.Context(), e.Id, patch); err != nil {
				return err
			}
			return show(s, cmd.OutOrStdout(), e, showEnvironment)
		}}
	environmentFlags(cmd)
	cmd.Flags().StringArray("unset", nil, "a variable to remove; may be repeated")
	cmd.Flags().IntVar(&ifVersion, "if-version", 0, "change the environment only if this is its newest version")
	return cmd
}

func environmentsVersions(s *serverFlags) *cobra.Command {
	return versionsCommand(s, "versions ENVIRONMENT", "List the versions of an environment, the newest first, and what changed",
		func(ctx context.Context, c *client.Client, nameOrID string) (iter.Seq2[client.EnvironmentVersion, error], error) {
			e, err := findEnvironment(ctx, c, nameOrID)
			return c.EnvironmentVersions(ctx, e.Id), err
		},
		func(v client.EnvironmentVersion) []string { return versionRow(v.Version, v.CreatedAt, v.Changed) })
}

func environmentsDelete(s *serverFlags) *cobra.Command {
	return deleteCommand(s, "delete ENVIRONMENT", "Delete an environment; accepted executions still run in it",
		func(ctx context.Context, c *client.Client, nameOrID string) error {
			e, err := findEnvironment(ctx, c, nameOrID)
			if err != nil {
				return err
			}
			return c.DeleteEnvironment(ctx, e.Id)
		})
}

// findEnvironment finds an environment by its ID, or by its name if only one has that name.
func findEnvironment(ctx context.Context, c *client.Client, nameOrID string) (client.Environment, error) {
	if strings.HasPrefix(nameOrID, "env_") {
		if e, err := c.Environment(ctx, nameOrID); err == nil || !client.IsNotFound(err) {
			return e, err
		}
	}
	return findByName("environment", nameOrID, c.Environments(ctx), func(e client.Environment) (id, name string) { return e.Id, e.Name })
}

// findEnvironmentID is findEnvironment for a flag, which may be empty.
func findEnvironmentID(ctx context.Context, c *client.Client, nameOrID string) (string, error) {
	if nameOrID == "" {
		return "", nil
	}
	e, err := findEnvironment(ctx, c, nameOrID)
	return e.Id, err
}

// addEnvironment adds the environment of the flag --environment to the fields of an agent. An empty one means none.
func addEnvironment(cmd *cobra.Command, c *client.Client, fields client.Patch) error {
	if !cmd.Flags().Changed("environment") {
		return nil
	}
	named, _ := cmd.Flags().GetString("environment") // no error: the type is that of the flag
	environmentID, err := findEnvironmentID(cmd.Context(), c, named)
	fields["environmentId"] = nilIfZero(environmentID)
	return err
}
