import type { ReactNode } from 'react'
import type { Execution, Workspace } from '../api/types.ts'
import { DownloadButton } from '../ui/DownloadButton.tsx'
import { formatBytes } from '../ui/format.ts'
import { TextLink } from '../ui/TextLink.tsx'
import { downloadFile, downloadWorkspace } from './downloads.ts'

/** The input files and the output files of an execution. */
export function Files({ execution }: { execution: Execution }) {
  const { inputFiles = [], files = [], omittedFileCount = 0 } = execution
  return (
    <>
      {inputFiles.length > 0 && (
        <section aria-label="Input files">
          <h2 className="label-small mb-2">Input files</h2>
          <ul className="divide-y divide-line rounded-xl border border-line bg-surface">
            {inputFiles.map(({ path, size }) => (
              <FileRow key={path} path={path} size={size} />
            ))}
          </ul>
        </section>
      )}
      {(files.length > 0 || omittedFileCount > 0) && (
        <section aria-label="Output files">
          <h2 className="label-small mb-2">Output files</h2>
          {files.length > 0 && (
            <ul className="divide-y divide-line rounded-xl border border-line bg-surface">
              {files.map(({ path, size }) => (
                <FileRow key={path} path={path} size={size}>
                  <DownloadButton
                    name={path.slice(path.lastIndexOf('/') + 1)}
                    label={path}
                    fetch={() => downloadFile(execution.id, path)}
                  />
                </FileRow>
              ))}
            </ul>
          )}
          {omittedFileCount > 0 && (
            <p className="mt-2 text-sm text-muted">
              {omittedFileCount} more {omittedFileCount === 1 ? 'was' : 'were'} omitted: too many, too large,
              or not regular files.
            </p>
          )}
        </section>
      )}
      {execution.workspace && <WorkspaceView id={execution.id} workspace={execution.workspace} />}
    </>
  )
}

const lossTexts = {
  too_large: 'They are larger than the operator allows.',
  unreadable: 'The agent left something that cannot be read.',
  no_time: 'The job was ended before they were packed.',
  unavailable: 'Storage did not take them.',
}

/** The files of the agent's working folder, with which a later run or turn can begin. */
function WorkspaceView({ id, workspace }: { id: string; workspace: Workspace }) {
  const { from, size = 0, lost } = workspace
  return (
    <section aria-label="Working folder">
      <h2 className="label-small mb-2">Working folder</h2>
      {from && (
        <p className="mb-2 text-sm text-muted">
          It began with the files of{' '}
          <TextLink to={{ page: 'execution', id: from }}>an earlier execution</TextLink>.
        </p>
      )}
      {size > 0 && (
        <ul className="divide-y divide-line rounded-xl border border-line bg-surface">
          <FileRow path="all files, packed" size={size}>
            <DownloadButton
              name={`${id}.tar.zst`}
              label="the working folder"
              fetch={() => downloadWorkspace(id)}
            />
          </FileRow>
        </ul>
      )}
      {lost && (
        <p className="text-sm text-muted">The files that the job left are not stored. {lossTexts[lost]}</p>
      )}
    </section>
  )
}

function FileRow({ path, size, children }: { path: string; size: number; children?: ReactNode }) {
  return (
    <li className="flex min-h-11 flex-wrap items-center gap-x-4 gap-y-1 px-4 py-1 text-sm">
      <span dir="auto" className="text-verbatim min-w-0 flex-1 font-mono text-xs">
        {path}
      </span>
      <span className="text-xs text-muted tabular-nums">{formatBytes(size)}</span>
      {children}
    </li>
  )
}
