import type { ReactNode } from 'react'
import type { Execution } from '../api/types.ts'
import { DownloadButton } from '../ui/DownloadButton.tsx'
import { formatBytes } from '../ui/format.ts'
import { fileContent } from './contents.ts'

/** What the run was given, and what it left. */
export function Files({ execution }: { execution: Execution }) {
  const { given = [], files = [], omittedFileCount = 0 } = execution
  return (
    <>
      {given.length > 0 && (
        <section aria-label="Files it was given">
          <h2 className="label-small mb-2">Files it was given</h2>
          <ul className="divide-y divide-line rounded-xl border border-line bg-surface">
            {given.map(({ path, size }) => (
              <FileRow key={path} path={path} size={size} />
            ))}
          </ul>
        </section>
      )}
      {(files.length > 0 || omittedFileCount > 0) && (
        <section aria-label="Files it left">
          <h2 className="label-small mb-2">Files it left</h2>
          {files.length > 0 && (
            <ul className="divide-y divide-line rounded-xl border border-line bg-surface">
              {files.map(({ path, size }) => (
                <FileRow key={path} path={path} size={size}>
                  <DownloadButton
                    name={path.slice(path.lastIndexOf('/') + 1)}
                    label={path}
                    fetch={() => fileContent(execution.id, path)}
                  />
                </FileRow>
              ))}
            </ul>
          )}
          {omittedFileCount > 0 && (
            <p className="mt-2 text-sm text-muted">
              {omittedFileCount} more {omittedFileCount === 1 ? 'was' : 'were'} not kept: too many, too large, or no
              plain files.
            </p>
          )}
        </section>
      )}
    </>
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
