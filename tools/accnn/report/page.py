"""The report as one HTML file that needs no server and no network."""


def write_report(path, evidence):
    """Write a report.

    Parameters
    ----------
    path : str
        Of the HTML file; one that is there is replaced.
    evidence : ReportEvidence

    Raises
    ------
    AccnnError
        A library is missing, or the file cannot be written.
    """
