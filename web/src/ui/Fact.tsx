import type { ReactNode } from 'react'

/** One name and its value, as a row of a dl. */
export function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div className="flex justify-between gap-4 border-b border-line py-2">
      <dt className="text-muted">{name}</dt>
      <dd className="text-verbatim text-right tabular-nums">{children}</dd>
    </div>
  )
}
