package main

import "github.com/spf13/cobra"

func executionsWorkspace(s *serverFlags) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use: "workspace EXECUTION", Short: "Download the files that an execution left in its working folder, as a .tar.zst",
		Args: checkArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.newClient()
			if err != nil {
				return err
			}
			content, err := c.Workspace(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			defer content.Close()
			if output == "" {
				output = args[0] + ".tar.zst"
			}
			return saveContent(cmd, content, output)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "write to this file; -: standard output. Default: EXECUTION.tar.zst")
	return cmd
}
