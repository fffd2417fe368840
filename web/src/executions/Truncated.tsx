import { DownloadButton } from '../ui/DownloadButton.tsx'
import { formatBytes } from '../ui/format.ts'
import { wholeResult } from './contents.ts'

/** Below the beginning of a large result: that there is more, and all of it. */
export function Truncated({ executionId, size }: { executionId: string; size?: number | undefined }) {
  return (
    <p className="flex flex-wrap items-center gap-3 rounded-lg border border-line bg-surface px-4 py-2 text-sm">
      This is the beginning of a large result{size === undefined ? '' : ` of ${formatBytes(size)}`}.
      <DownloadButton
        name={`${executionId}.json`}
        label="the whole result"
        fetch={() => wholeResult(executionId)}
      />
    </p>
  )
}
