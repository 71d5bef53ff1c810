// pgjdbc as a legacy application has it: a user and a password. Prints what the query in its argument gives.
//
//   java -cp postgresql.jar LegacyLogin.java QUERY

import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.Statement;
import java.util.Map;
import java.util.Properties;

public class LegacyLogin {
    public static void main(String[] arguments) throws Exception {
        Map<String, String> env = System.getenv();
        Properties properties = new Properties();
        properties.setProperty("user", env.get("PGUSER"));
        properties.setProperty("password", env.get("PGPASSWORD"));
        properties.setProperty("sslmode", "verify-full");
        properties.setProperty("sslrootcert", env.get("PGSSLROOTCERT"));
        String url = "jdbc:postgresql://localhost:" + env.get("PGPORT") + "/" + env.get("PGDATABASE");
        try (Connection connection = DriverManager.getConnection(url, properties);
                Statement statement = connection.createStatement();
                ResultSet result = statement.executeQuery(arguments[0])) {
            result.next();
            System.out.println(result.getString(1));
        }
    }
}
