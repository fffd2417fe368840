import type { Result } from '../api/types.ts'
import { DraftCard } from '../agents/DraftCard.tsx'
import { TruncatedNotice } from './TruncatedNotice.tsx'

/** The result of an execution. A model wrote it, so the page shows it as plain text. */
export function ResultView({ result, executionId }: { result: Result; executionId: string }) {
  return (
    <div className="flex flex-col gap-3">
      {result.text !== '' && (
        <p dir="auto" className="text-verbatim">
          {result.text}
        </p>
      )}
      {result.truncated && <TruncatedNotice executionId={executionId} size={result.size} />}
      {result.output !== undefined && (
        <section aria-label="Structured output">
          <h3 className="label-small mb-1">Structured output</h3>
          <pre className="text-verbatim rounded-lg bg-sunken p-3 font-mono text-sm">
            {JSON.stringify(result.output, null, 2)}
          </pre>
        </section>
      )}
      {result.agentDraft && <DraftCard draft={result.agentDraft} />}
    </div>
  )
}
