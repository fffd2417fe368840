import type { ReactNode } from 'react'
import { isTransient, ProblemError } from '../api/problem.ts'
import { Button } from './Button.tsx'

interface Props {
  error: Error
  /** Repeats the request. The button appears only for transient errors. */
  onRetry?: () => void
  /** Further buttons. */
  children?: ReactNode
}

/** Shows an error, with the detail and the invalid fields that the server reported. */
export function ProblemNotice({ error, onRetry, children }: Props) {
  const problem = error instanceof ProblemError ? error.problem : undefined
  const retry = onRetry && isTransient(error)
  return (
    <div role="alert" className="rounded-lg border border-danger/40 bg-danger-soft px-4 py-3 text-sm">
      <p className="text-verbatim font-medium text-danger">{error.message}</p>
      {problem?.errors && problem.errors.length > 0 && (
        <ul className="mt-1.5 list-disc pl-5">
          {problem.errors.map(({ field, detail }) => (
            <li key={`${field} ${detail}`} className="text-verbatim">
              <code className="font-mono text-xs">{field}</code>: {detail}
            </li>
          ))}
        </ul>
      )}
      {problem && <p className="mt-1 font-mono text-xs text-muted">{problem.code}</p>}
      {(retry || children) && (
        <div className="mt-3 flex flex-wrap gap-2">
          {retry && <Button onClick={onRetry}>Try again</Button>}
          {children}
        </div>
      )}
    </div>
  )
}
