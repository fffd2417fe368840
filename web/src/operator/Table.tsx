import type { ReactNode } from 'react'

interface Props {
  title: string
  columns: string[]
  children: ReactNode
  /** Something beside the title. */
  action?: ReactNode
}

/** A table with its title. On a small screen it scrolls sideways. */
export function Table({ title, columns, children, action }: Props) {
  return (
    <section aria-label={title} className="flex flex-col gap-2">
      <div className="flex min-h-9 items-center justify-between gap-3">
        <h2 className="label-small">{title}</h2>
        {action}
      </div>
      <div className="overflow-x-auto rounded-xl border border-line bg-surface">
        <table className="w-full text-left text-sm">
          <thead className="text-xs text-muted">
            <tr className="border-b border-line">
              {columns.map((column) => (
                <th key={column} scope="col" className="px-4 py-2 font-medium whitespace-nowrap">
                  {column}
                </th>
              ))}
            </tr>
          </thead>
          <tbody className="divide-y divide-line">{children}</tbody>
        </table>
      </div>
    </section>
  )
}

export function Cell({ children }: { children?: ReactNode }) {
  return <td className="max-w-72 px-4 py-2 align-top break-words">{children}</td>
}
