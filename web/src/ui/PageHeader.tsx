import type { ReactNode } from 'react'

interface Props {
  title: string
  /** The kind of resource, above the title. */
  kind?: string
  children?: ReactNode
}

export function PageHeader({ title, kind, children }: Props) {
  return (
    <header className="flex min-h-14 items-center gap-3 border-b border-line py-2 pr-4 pl-14 md:pl-6">
      <title>{`${title} · Airlock`}</title>
      <div className="min-w-0 flex-1">
        {kind && <p className="label-small">{kind}</p>}
        <h1 className="truncate font-semibold tracking-tight">{title}</h1>
      </div>
      {children}
    </header>
  )
}
