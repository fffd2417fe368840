package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/airlock-run/airlock/client"
)

// maxInlineBytes is how many bytes of files are sent within one request. The others are uploaded. The server accepts
// 768 KiB, paths included.
const maxInlineBytes = 512 << 10

// inputFileFlags are the flags with which a command takes input files for an agent.
type inputFileFlags struct {
	local    []string // PATH[=PATH IN THE WORKING FOLDER]
	uploaded []string // ID=PATH IN THE WORKING FOLDER
}

func (f *inputFileFlags) add(flags *pflag.FlagSet) {
	flags.StringArrayVar(&f.local, "file", nil,
		"input file for the agent, as PATH or PATH=PATH-IN-ITS-FOLDER; large ones are uploaded; may be repeated")
	flags.StringArrayVar(&f.uploaded, "file-id", nil, "uploaded file for the agent, as ID=PATH-IN-ITS-FOLDER; may be repeated")
}

// inputFiles are files for one request.
type inputFiles struct {
	Files   []client.InputFile
	uploads []string // the IDs of those that were uploaded for this request
}

// read reads the files, and uploads those that do not fit into the request, or all. The caller calls release when the
// request is answered.
func (f *inputFileFlags) read(ctx context.Context, c *client.Client, uploadAll bool) (inputFiles, error) {
	var in inputFiles
	inline := int64(0)
	for _, argument := range f.local {
		name, path := splitFileArgument(argument)
		err := func() error {
			file, size, err := openInputFile(name)
			if err != nil {
				return fmt.Errorf("%w: --file: %w", errUsage, err)
			}
			defer file.Close()
			if inline += size; !uploadAll && inline <= maxInlineBytes {
				data, err := io.ReadAll(file)
				in.Files = append(in.Files, client.FileWithContent(path, data))
				return err
			}
			inline -= size
			uploaded, err := c.UploadFile(ctx, filepath.Base(name), file)
			if err != nil {
				return fmt.Errorf("upload %s: %w", name, err)
			}
			in.uploads = append(in.uploads, uploaded.Id)
			in.Files = append(in.Files, client.FileByID(path, uploaded.Id))
			return nil
		}()
		if err != nil {
			in.release(ctx, c)
			return inputFiles{}, err
		}
	}
	for _, argument := range f.uploaded {
		fileID, path, ok := strings.Cut(argument, "=")
		if !ok {
			in.release(ctx, c)
			return inputFiles{}, fmt.Errorf("%w: --file-id: %q is not ID=PATH", errUsage, argument)
		}
		in.Files = append(in.Files, client.FileByID(path, fileID))
	}
	return in, nil
}

// release deletes the files that were uploaded for this request. What was accepted with them keeps their contents. A
// failure is ignored: the files expire.
func (in *inputFiles) release(ctx context.Context, c *client.Client) {
	for _, fileID := range in.uploads {
		_ = c.DeleteFile(context.WithoutCancel(ctx), fileID)
	}
}

// splitFileArgument returns the name of a local file, and its path in the agent's folder: the last part of the name if
// the argument does not say.
func splitFileArgument(argument string) (name, path string) {
	if _, err := os.Stat(argument); err == nil {
		return argument, filepath.Base(argument)
	}
	if i := strings.LastIndex(argument, "="); i >= 0 {
		return argument[:i], argument[i+1:]
	}
	return argument, filepath.Base(argument)
}

func openInputFile(name string) (*os.File, int64, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	info, err := file.Stat()
	if err == nil && info.IsDir() {
		err = &os.PathError{Op: "read", Path: name, Err: errors.New("is a directory")}
	}
	if err != nil {
		_ = file.Close()
		return nil, 0, err
	}
	return file, info.Size(), nil
}

// textOrStdin returns the text, or the content of standard input if the text is "-".
func textOrStdin(cmd *cobra.Command, text string) (string, error) {
	if text != "-" {
		return text, nil
	}
	read, err := io.ReadAll(cmd.InOrStdin())
	return string(read), err
}
