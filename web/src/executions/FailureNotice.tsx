import type { ReactNode } from 'react'
import type { Failure } from '../api/types.ts'

/** The failure of an execution: its message and its code. A cancellation is not shown as an error. */
export function FailureNotice({ failure, children }: { failure: Failure; children?: ReactNode }) {
  const canceled = failure.code === 'canceled'
  return (
    <div
      className={`rounded-lg border px-4 py-3 text-sm ${canceled ? 'border-line bg-surface' : 'border-danger/40 bg-danger-soft'}`}
    >
      <p className={`text-verbatim font-medium ${canceled ? '' : 'text-danger'}`}>{failure.message}</p>
      <p className="mt-1 font-mono text-xs text-muted">{failure.code}</p>
      {children && <div className="mt-3 flex flex-wrap items-center gap-3">{children}</div>}
    </div>
  )
}
