package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/airlock-run/airlock/client"
	"github.com/airlock-run/airlock/internal/process"
)

func filesCommand() *cobra.Command {
	var s serverFlags
	return commandGroup("files", "Upload, list, download and delete files for runs, messages and batches", &s,
		filesUpload(&s), filesList(&s), readCommand(&s, "get FILE", "Show what is known of a file, by its ID", (*client.Client).UploadedFile, showFile),
		filesDownload(&s), filesDelete(&s))
}

func filesUpload(s *serverFlags) *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use: "upload PATH [--name NAME]", Short: "Upload a file of up to 100 MiB and print its ID; - reads standard input",
		Args: checkArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := process.Context()
			defer stop()
			c, err := s.newClient()
			if err != nil {
				return err
			}
			uploaded, err := uploadFile(ctx, cmd, c, args[0], name)
			if err != nil {
				return err
			}
			return show(s, cmd.OutOrStdout(), uploaded, func(out io.Writer, f client.File) { fmt.Fprintln(out, f.Id) })
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "name of the file; default: the last part of PATH")
	return cmd
}

func uploadFile(ctx context.Context, cmd *cobra.Command, c *client.Client, path, name string) (client.File, error) {
	if path == "-" {
		if name == "" {
			name = "stdin"
		}
		return c.UploadFile(ctx, name, io.MultiReader(cmd.InOrStdin())) // standard input may not be a file
	}
	file, _, err := openInputFile(path)
	if err != nil {
		return client.File{}, fmt.Errorf("%w: %w", errUsage, err)
	}
	defer file.Close()
	if name == "" {
		name = filepath.Base(path)
	}
	return c.UploadFile(ctx, name, file)
}

func filesList(s *serverFlags) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List all files, the newest first", Args: checkArgs(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := s.newClient()
			if err != nil {
				return err
			}
			return showAll(s, cmd.OutOrStdout(), c.Files(cmd.Context()), table[client.File]{
				header: "ID NAME BYTES CREATED EXPIRES",
				row: func(f client.File) []string {
					return []string{f.Id, truncate(f.Name), strconv.FormatInt(f.Size, 10), formatTime(f.CreatedAt), formatTime(f.ExpiresAt)}
				},
			})
		},
	}
}

func showFile(out io.Writer, f client.File) {
	for _, field := range [][2]string{
		{"id", f.Id}, {"name", f.Name}, {"bytes", strconv.FormatInt(f.Size, 10)}, {"type", f.ContentType}, {"sha256", f.Sha256},
		{"created", formatTime(f.CreatedAt)}, {"expires", formatTime(f.ExpiresAt)},
	} {
		writeField(out, field[0], field[1])
	}
}

func filesDownload(s *serverFlags) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use: "download FILE [-o PATH]", Short: "Download the content of a file", Args: checkArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.newClient()
			if err != nil {
				return err
			}
			if output == "" {
				f, err := c.UploadedFile(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				output = filepath.Base(f.Name) // never a folder, whatever the server says
			}
			content, err := c.FileContent(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			defer content.Close()
			return saveContent(cmd, content, output)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "write to this file; -: standard output. Default: the name of the file")
	return cmd
}

// saveContent writes a download to a file, or to standard output if its name is "-".
func saveContent(cmd *cobra.Command, content io.Reader, output string) error {
	if output == "-" {
		_, err := io.Copy(cmd.OutOrStdout(), content)
		return err
	}
	file, err := os.Create(output)
	if err != nil {
		return err
	}
	if _, err := io.Copy(file, content); err != nil {
		_ = file.Close()
		return err
	}
	return file.Close()
}

func filesDelete(s *serverFlags) *cobra.Command {
	return &cobra.Command{
		Use: "delete FILE", Short: "Delete a file; work that was accepted with it keeps its content", Args: checkArgs(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.newClient()
			if err != nil {
				return err
			}
			return c.DeleteFile(cmd.Context(), args[0])
		},
	}
}
